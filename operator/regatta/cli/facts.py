"""What `regatta explain` knows, and which further objects are worth a request: pure, like what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from regatta.api.status import Cause, ConditionType, TrainingJobStatus
from regatta.api.validate import check
from regatta.cli.installed import Operator
from regatta.cli.text import parse_time
from regatta.kube.records import pod_facts
from regatta.plan.conditions import find
from regatta.plan.crew import Crew, is_training
from regatta.plan.model import Installation, Job

__all__ = [
    "Facts",
    "crew_of",
    "job_of",
    "pods_to_inspect",
    "requests_of",
    "status_of",
    "wants_groups",
    "wants_nodes",
    "wants_quotas",
]

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


def job_of(raw: Mapping[str, Any]) -> Job:
    """The job as decisions see it; its spec is None where it can't be read."""
    metadata = raw.get("metadata") or {}
    spec, problems = check(dict(raw))
    return Job(
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
        generation=metadata.get("generation") or 0,
        created_at=parse_time(metadata.get("creationTimestamp")) or datetime.min.replace(tzinfo=UTC),
        spec=spec,
        status=status_of(raw),
        problems=problems,
    )


def crew_of(raw: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Crew:
    """The pods of the current attempt, sorted as the operator sorts them."""
    job = job_of(raw)
    desired = job.spec.workers if job.spec is not None else max(1, job.status.workers.desired)
    return Crew.muster(map(pod_facts, pods), uid=job.uid, attempt=max(1, job.status.attempt), desired=desired)


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


def wants_groups(job: Mapping[str, Any]) -> bool:
    """Whether a PodGroup holds the job's workers together."""
    stated = find(status_of(job).conditions, ConditionType.GANG_SCHEDULED)
    return stated is not None and stated.reason != "NotAvailable"


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
