"""Jobs and pods as the API server would tell them, for tests of what the command shows."""

from __future__ import annotations

from typing import Any

__all__ = ["job", "pod"]


def job(name: str = "digits", *, namespace: str = "ml", spec: dict[str, Any] | None = None, **status: Any) -> Any:
    """A TrainingJob's JSON; further arguments are its status."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-02T12:00:00Z",
        },
        "spec": {"framework": "PyTorch", "workers": 2, "restart": {"maxRestarts": 3}, **(spec or {})},
        "status": status,
    }


def pod(
    worker: int,
    *,
    attempt: int = 1,
    state: str = "running",
    ready: bool = True,
    node: str = "node1",
    phase: str = "Running",
    waiting: str = "",
) -> dict[str, Any]:
    """One worker's pod."""
    container_state = {"waiting": {"reason": waiting}} if waiting else {state: {}}
    return {
        "metadata": {
            "name": f"digits-{attempt}-{worker}",
            "uid": f"uid-{attempt}-{worker}",
            "labels": {"regatta.dev/attempt": str(attempt), "regatta.dev/worker": str(worker)},
        },
        "spec": {"nodeName": node, "containers": [{"name": "trainer"}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "trainer", "state": container_state}],
        },
    }
