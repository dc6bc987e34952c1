"""One installation of the operator in a cluster: its pods, their logs, and a sudden death on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.kit.api import Api
from tests.cluster.kit.processes import Process, kill, main_process
from tests.cluster.kit.waiting import wait_for

__all__ = ["Installation"]

_OPERATOR = "app.kubernetes.io/component=operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The release that tests talk to."""

    api: Api
    namespace: str
    release: str
    pytorch_image: str
    images: Mapping[str, str] = field(default_factory=dict)
    """What each image of this repository is called in the cluster, where a test asked for all."""

    def pods(self) -> list[dict[str, Any]]:
        """The operator's pods that are not being deleted."""
        pods = self.api.list("pods", namespace=self.namespace, labels=_OPERATOR)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def leader(self) -> str | None:
        """Name of the pod that holds the lease, if one does."""
        lease = self.api.find("leases", self.release, namespace=self.namespace)
        holder = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
        return next((name for pod in self.pods() if holder.startswith(name := pod["metadata"]["name"])), None)

    def kill_leader(self) -> str:
        """SIGKILL the leading operator and replace its pod, so that no restart back-off delays the next one.

        Returns the name of the pod that died.
        """

        def leading() -> tuple[str, Process] | None:
            name = self.leader()
            pod = self.api.find("pods", name, namespace=self.namespace) if name else None
            process = main_process(pod, container="operator") if pod else None
            return (name, process) if name and process else None

        name, process = wait_for("a leading operator whose process is on this machine", leading, timeout=60)
        kill(process)
        self.api.delete("pods", name, namespace=self.namespace, grace=0)
        return name

    def log(self, tail: int = 40) -> str:
        """The ends of all operator pods' logs."""
        return "\n".join(
            f"[{name}]\n{self.api.log(name, namespace=self.namespace, tail=tail)}"
            for name in (pod["metadata"]["name"] for pod in self.pods())
        )
