"""Builders of the planner's inputs: `job().workers(3).obj()`, `pod(worker=1).joined().obj()`.

Each call returns a changed copy, so a test can keep a common beginning and vary it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from regatta.api.status import Progress, TrainingJobStatus
from regatta.api.validate import check
from regatta.plan.model import ContainerFacts, Installation, Job, Observed, PodFacts
from regatta.plan.report import CrewFailure, CrewWords

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "0b5cbb5f-1f5a-4b6c-9d6e-1b9a8f0b4c55"
INSTALLATION = Installation(
    runtime_image="example.test/runtime:1",
    operator_image="example.test/operator:1",
    feed_image="example.test/feed:1",
    framework_images={
        "PyTorch": "example.test/pytorch:1",
        "TensorFlow": "example.test/tensorflow:1",
        "Keras": "example.test/keras:1",
    },
)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def manifest(name: str = "job-a", **spec: Any) -> dict[str, Any]:
    """A TrainingJob as a user writes it; keywords are fields of the spec in camelCase."""
    defaults: dict[str, Any] = {"framework": "PyTorch", "command": ["python", "train.py"], "workers": 2}
    return {
        "apiVersion": "regatta.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {**defaults, **spec},
    }


@dataclass(frozen=True)
class JobBuilder:
    raw: dict[str, Any]
    status: TrainingJobStatus = field(default_factory=TrainingJobStatus)

    def spec(self, **fields: Any) -> Self:
        return replace(self, raw={**self.raw, "spec": {**self.raw["spec"], **fields}})

    def workers(self, count: int) -> Self:
        return self.spec(workers=count)

    def max_restarts(self, count: int) -> Self:
        return self.spec(restart={"maxRestarts": count})

    def with_status(self, status: TrainingJobStatus | None = None, **fields: Any) -> Self:
        return replace(self, status=(status or self.status).model_copy(update=fields))

    def obj(self) -> Job:
        parsed, problems = check(self.raw)
        return Job(
            namespace="team",
            name=self.raw["metadata"]["name"],
            uid=UID,
            generation=1,
            created_at=NOW,
            spec=parsed,
            status=self.status,
            problems=problems,
        )


def job(name: str = "job-a", **spec: Any) -> JobBuilder:
    return JobBuilder(manifest(name, **spec))


@dataclass(frozen=True)
class PodBuilder:
    facts: PodFacts
    trainer: ContainerFacts | None = field(default=None)

    def of(self, **fields: Any) -> Self:
        return replace(self, facts=replace(self.facts, **fields))

    def container(self, **fields: Any) -> Self:
        return replace(self, trainer=replace(self.trainer or ContainerFacts(name="trainer"), **fields))

    def unschedulable(self, words: str = "0/2 nodes are available: 2 Insufficient cpu.") -> Self:
        return self.of(unschedulable=words)

    def scheduled(self, at: datetime = NOW) -> Self:
        return self.of(node="node1", scheduled=True, scheduled_at=at, unschedulable="")

    def waiting(self, reason: str, message: str = "") -> Self:
        return self.scheduled().container(waiting_reason=reason, waiting_message=message)

    def started(self, at: datetime = NOW) -> Self:
        return self.scheduled(at).of(phase="Running").container(running_since=at, waiting_reason="")

    def joined(self, at: datetime = NOW) -> Self:
        return self.started(at).of(ready=True, ready_at=at).container(started=True, ready=True)

    def ended(self, code: int, *, message: str = "", reason: str = "", at: datetime = NOW) -> Self:
        default = "Completed" if code == 0 else "Error"
        return (
            self.scheduled()
            .of(phase="Succeeded" if code == 0 else "Failed", ready=False)
            .container(
                exit_code=code,
                finished_at=at,
                termination_message=message,
                terminated_reason=reason or default,
                running_since=None,
                ready=False,
            )
        )

    def deleting(self, at: datetime = NOW) -> Self:
        return self.of(deleting_since=at)

    def obj(self) -> PodFacts:
        return replace(self.facts, containers=(self.trainer,) if self.trainer else ())


def pod(*, worker: int = 0, attempt: int = 1, job: str = "job-a", owner: str = UID) -> PodBuilder:
    name = f"{job}-{attempt}-{worker}"
    return PodBuilder(
        PodFacts(
            namespace="team",
            name=name,
            uid=f"uid-{name}-{owner[:4]}",
            resource_version="1",
            job=job,
            owner_uid=owner,
            attempt=attempt,
            worker=worker,
            phase="Pending",
            created_at=NOW,
        )
    )


def observed(*pods: PodBuilder | PodFacts, **fields: Any) -> Observed:
    facts = tuple(p.obj() if isinstance(p, PodBuilder) else p for p in pods)
    return Observed(pods=facts, **{"installation": INSTALLATION, **fields})


def gang_cluster() -> Installation:
    """What a cluster with Kubernetes' own gang scheduling gives to jobs."""
    return replace(INSTALLATION, native_gang=True)


def crew_failure(**fields: Any) -> CrewFailure:
    """A failure that a crew met in place."""
    defaults = {"generation": 1, "cause": "UserError", "worker": 0, "rank": 0, "exit_code": 1, "message": "rank 0 died"}
    return CrewFailure(**{**defaults, "at": NOW, "lost_seconds": 1.0, **fields})


def crew(**fields: Any) -> CrewWords:
    """What worker 0 of the first attempt told just now."""
    defaults = {"heard_at": NOW, "attempt": 1, "restarts": 0, "failures": (), "generation": 1, "progress": None}
    return CrewWords(**{**defaults, **fields})


def progress(*, step: int, at: datetime = NOW) -> Progress:
    """A step that was finished at that time."""
    return Progress(step=step, updated_at=at)
