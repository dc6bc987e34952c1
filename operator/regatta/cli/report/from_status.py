"""A story from the job itself: everything but its course over time, which no status keeps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from regatta.api.status import Failure, FailureAction, TrainingJobStatus
from regatta.cli.report.story import Event, Story
from regatta.cli.spending import amounts
from regatta.cli.text import parse_time

__all__ = ["story_of"]

_DONE: Final = {
    FailureAction.RESTARTED_IN_PLACE: "restarted in place",
    FailureAction.NEW_ATTEMPT: "a new attempt followed",
    FailureAction.JOB_FAILED: "the job ended",
}


def story_of(job: Mapping[str, Any], *, now: datetime) -> Story:
    """What the job's spec and status tell."""
    metadata, spec = job["metadata"], job.get("spec") or {}
    status = TrainingJobStatus.from_api(job.get("status"))
    workers, gpus = _count(spec.get("workers"), default=1), _count(spec.get("gpusPerWorker"), default=0)
    allowed = (spec.get("restart") or {}).get("maxRestarts", 3)
    return Story(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata["name"]),
        made_at=now,
        framework=str(spec.get("framework", "")),
        phase=str(status.phase or "not taken up yet"),
        reason=status.reason,
        message=status.message,
        shape=_shape(workers, gpus, resource=str(spec.get("gpuResource") or "nvidia.com/gpu")),
        attempt=status.attempt,
        restarts=f"{status.restarts_used} of {allowed} used, {status.restarts_in_place} in place",
        created_at=parse_time(metadata.get("creationTimestamp")),
        ended_at=status.completion_time,
        progress=_progress(status),
        accelerators=workers * gpus,
        workers=workers,
        ledger=amounts(status.ledger),
        efficiency=status.efficiency,
        failures=tuple(map(_event, status.failures)),
        failure_counts=status.failure_counts,
        sources=("the job's status",),
    )


def _shape(workers: int, gpus: int, *, resource: str) -> str:
    pods = f"{workers} worker{'s' if workers != 1 else ''}"
    return f"{pods}, each with {gpus} {resource}" if gpus else f"{pods}, without GPUs"


def _progress(status: TrainingJobStatus) -> str:
    told = status.progress
    if told is None:
        return ""
    of = f" of {told.total_steps}" if told.total_steps is not None else ""
    parts = [
        f"step {told.step}{of}" if told.step is not None else "",
        told.summary if told.fraction is not None else "",
    ]
    return ", ".join(filter(None, parts))


def _event(failure: Failure) -> Event:
    return Event(
        at=failure.at,
        attempt=failure.attempt,
        cause=failure.cause.value,
        where=" on ".join(filter(None, (failure.pod, failure.node))),
        message=failure.message,
        action="" if failure.action is None else _DONE[failure.action],
        lost_seconds=failure.lost_seconds,
        exit_code=failure.exit_code,
    )


def _count(value: object, *, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else default
