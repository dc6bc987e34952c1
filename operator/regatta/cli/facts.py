"""What `regatta explain` knows, and which further objects are worth a request: pure, like what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from regatta.api.status import Cause, TrainingJobStatus
from regatta.api.validate import check
from regatta.cli.installed import Operator
from regatta.kube.records import pod_facts
from regatta.plan.crew import Crew, is_training
from regatta.plan.model import Installation

__all__ = ["Facts", "crew_of", "pods_to_inspect", "status_of", "wants_nodes", "wants_quotas", "workers_of"]

MAX_INSPECTED: Final = 4
"""How many pods are asked for their events: one speaks for all that hang in the same way."""
NO_INSTALLATION: Final = Installation(runtime_image="", operator_image="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was read; None where it could not be."""

    job: Mapping[str, Any]
    pods: Sequence[Mapping[str, Any]] | None = ()
    events: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Events about pods, by the pod's uid, for those that `pods_to_inspect` named."""
    nodes: Sequence[Mapping[str, Any]] | None = None
    groups: Sequence[Mapping[str, Any]] = ()
    """PodGroups of the job."""
    quotas: Sequence[Mapping[str, Any]] | None = None
    operators: Sequence[Operator] | None = None
    lease: Mapping[str, Any] | None = None
    """The Lease of the operator's leader."""
    notes: tuple[str, ...] = ()
    """What could not be read."""


def status_of(job: Mapping[str, Any]) -> TrainingJobStatus:
    """The job's status, as far as it can be read."""
    status = job.get("status")
    return TrainingJobStatus.from_api(status if isinstance(status, dict) else None)


def workers_of(job: Mapping[str, Any]) -> int:
    """Workers that the spec asks for, 1 where it says nothing that could be read."""
    spec, _ = check(dict(job))
    return spec.workers if spec is not None else 1


def crew_of(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Crew:
    """The pods of the current attempt, sorted as the operator sorts them."""
    uid = str((job.get("metadata") or {}).get("uid") or "")
    attempt = max(1, status_of(job).attempt)
    return Crew.muster(map(pod_facts, pods), uid=uid, attempt=attempt, desired=workers_of(job))


def pods_to_inspect(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """uids of the pods whose events may say what hinders them, the most telling first."""
    phase = status_of(job).phase
    if phase is not None and phase.terminal:
        return ()
    waiting = [pod for pod in crew_of(job, pods).members.values() if not is_training(pod) and pod.phase == "Pending"]
    waiting.sort(key=lambda pod: (not pod.scheduled, pod.worker))
    return tuple(pod.uid for pod in waiting[:MAX_INSPECTED] if pod.uid)


def wants_nodes(pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what the nodes offer tells more than the scheduler's words."""
    return any("Insufficient " in words for words in map(_unschedulable, pods))


def wants_quotas(job: Mapping[str, Any]) -> bool:
    """Whether the namespace's quotas are what hinders."""
    return status_of(job).reason == Cause.QUOTA_EXCEEDED


def requests_of(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Resource requests of a pod's containers, as names and quantities."""
    spec = pod.get("spec") or {}
    for container in spec.get("containers") or ():
        yield from ((container.get("resources") or {}).get("requests") or {}).items()


def _unschedulable(pod: Mapping[str, Any]) -> str:
    return pod_facts(pod).unschedulable
