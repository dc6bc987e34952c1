"""Reads everything that `regatta explain` uses; what the caller may not see is left out with a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from regatta.api import names
from regatta.cli.cluster import Cluster
from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.facts import Facts, pods_to_inspect, wants_groups, wants_nodes, wants_quotas
from regatta.cli.installed import Operator, operators_everywhere
from regatta.cli.text import one_line

__all__ = ["gather"]

_POD_GROUPS: Final = "/apis/scheduling.k8s.io/v1beta1"
_LIMIT: Final = "500"


def gather(cluster: Cluster, name: str) -> Facts:
    """Everything about one job; raises `NotFoundError` without it, and for nothing else that is missing."""
    job = cluster.job(name)
    read = _Reader(cluster)
    here = f"namespaces/{quote(cluster.namespace, safe='')}"
    mine = {"labelSelector": f"{names.LABEL_JOB}={name}"}
    pods = read.items("pods", f"/api/v1/{here}/pods", mine, limit="")
    events = {}
    for uid in pods_to_inspect(job, pods or ()):
        about = {"fieldSelector": f"involvedObject.uid={uid}"}
        events[uid] = read.items("events", f"/api/v1/{here}/events", about) or []
    operators, lease = read.operator()
    return Facts(
        job=job,
        pods=pods,
        events=events,
        nodes=read.items("nodes", "/api/v1/nodes") if wants_nodes(pods or ()) else None,
        groups=(read.items("PodGroups", f"{_POD_GROUPS}/{here}/podgroups", mine) or ()) if wants_groups(job) else (),
        quotas=read.items("quotas", f"/api/v1/{here}/resourcequotas") if wants_quotas(job) else None,
        operators=operators,
        lease=lease,
        notes=tuple(read.notes),
    )


class _Reader:
    """Reads, and notes what could not be read."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.notes: list[str] = []

    def items(
        self, what: str, path: str, query: Mapping[str, str] | None = None, *, limit: str = _LIMIT
    ) -> list[dict[str, Any]] | None:
        """Objects of a collection: none where the cluster has no such kind, None where they can't be read."""
        try:
            answer = self._cluster.get(path, query={**(query or {}), **({"limit": limit} if limit else {})})
        except NotFoundError:
            return []
        except ClusterError as error:
            self._note(what, error)
            return None
        return answer.get("items") or []

    def operator(self) -> tuple[list[Operator] | None, dict[str, Any] | None]:
        """The cluster's operators, and the Lease of the first."""
        try:
            found = operators_everywhere(self._cluster)
        except ClusterError as error:
            self._note("the operator", error)
            return None, None
        if not found or not found[0].lease:
            return found, None
        path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(found[0].namespace, safe='')}/leases"
        try:
            return found, self._cluster.get(f"{path}/{quote(found[0].lease, safe='')}")
        except NotFoundError:
            return found, None
        except ClusterError as error:
            self._note("the operator's lease", error)
            return found, None

    def _note(self, what: str, error: ClusterError) -> None:
        note = f"without {what}: {one_line(error, width=200)}"
        if note not in self.notes:
            self.notes.append(note)
