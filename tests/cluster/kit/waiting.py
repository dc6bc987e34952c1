"""Waiting for a fact about a cluster, with everything that explains a failure in the failure's text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.cluster.kit.api import Api

__all__ = ["describe_job", "wait_for"]

T = TypeVar("T")


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    *,
    timeout: float,
    poll: float = 0.25,
    explain: Callable[[], str] | None = None,
) -> T:
    """First truthy answer of `probe`; fails with `what` and the explanation when there is none in time."""
    end = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            detail = f"\n{explain()}" if explain else ""
            raise AssertionError(f"waited {timeout:.0f} s for {what}{detail}")
        time.sleep(poll)


def describe_job(api: Api, *, namespace: str, name: str, operator_log: Callable[[], str]) -> str:
    """Status, pods, events and log ends of one job: what a person would look at first."""
    parts: list[str] = []
    found = api.find("trainingjobs", name, namespace=namespace)
    parts += [f"--- TrainingJob {namespace}/{name}", _pretty(found.get("status", {})) if found else "does not exist"]
    for pod in api.list("pods", namespace=namespace, labels=f"regatta.dev/job={name}"):
        node = pod["spec"].get("nodeName", "no node")
        parts += [f"--- pod {pod['metadata']['name']} on {node}", _pretty(pod.get("status", {}))]
        parts.append(api.log(pod["metadata"]["name"], namespace=namespace, tail=20, container="trainer"))
    parts.append("--- events")
    parts += [
        f"{event.get('type')} {event.get('reason')} {event.get('regarding', {}).get('name')}: {event.get('note')}"
        for event in api.list("events", namespace=namespace)
        if event.get("regarding", {}).get("name", "").startswith(name[:20])
    ]
    parts.append(f"--- operator\n{operator_log()}")
    return "\n".join(parts)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1)[:4000]
