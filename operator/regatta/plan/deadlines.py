"""The four clocks of a job: each reads its beginning from the status or from the pods, so no restart resets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from regatta.api.spec import TrainingJobSpec
from regatta.api.status import FailureAction, Phase, TrainingJobStatus
from regatta.plan.crew import Crew
from regatta.plan.report import CrewWords

__all__ = ["Overdue", "Stall", "active_seconds", "next_alarm", "overdue", "stall"]

HEARD_WITHIN: Final = 60.0
"""Seconds: a crew that was not heard for longer may well train; then nothing is concluded from its silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A deadline that has passed and ends the job."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """How the clock of the last finished step stands."""

    seconds: float
    """Since the last step, or since all were joined when none was finished yet."""
    step: int | None


def overdue(
    spec: TrainingJobSpec, status: TrainingJobStatus, crew: Crew, *, hindrance: str, now: datetime
) -> Overdue | None:
    """Return the deadline of phase Queued, Starting or Running that a job in this status has passed.

    `hindrance` says what kept the job from getting on.
    """
    remaining = _remaining(spec, status, crew, now=now)
    late = next((name for name, seconds in remaining.items() if seconds <= 0), None)
    limits = spec.deadlines
    match late:
        case "queued":
            words = f"not started within {limits.queued} s (spec.deadlines.queued)"
            return Overdue(reason="QueuedDeadline", message=f"{words}: {hindrance}")
        case "starting":
            words = f"not all workers joined within {limits.starting} s (spec.deadlines.starting)"
            return Overdue(reason="StartingDeadline", message=f"{words}: {hindrance}")
        case "active":
            words = f"trained for {limits.active} s without coming to its end (spec.deadlines.active)"
            return Overdue(reason="ActiveDeadline", message=f"{words}; raise it, or save and resume a checkpoint")
        case _:
            return None


def next_alarm(
    spec: TrainingJobSpec, status: TrainingJobStatus, crew: Crew, words: CrewWords | None, *, now: datetime
) -> float | None:
    """Seconds until the next deadline of a job in this status may pass, None when none is running."""
    alarms = list(_remaining(spec, status, crew, now=now).values())
    quiet = stall(status, words, now=now)
    if spec.deadlines.stalled is not None and status.phase is Phase.RUNNING:
        alarms.append(max(1.0, spec.deadlines.stalled - (quiet.seconds if quiet is not None else 0.0)))
    return max(0.0, min(alarms)) if alarms else None


def stall(status: TrainingJobStatus, words: CrewWords | None, *, now: datetime) -> Stall | None:
    """Return how long no step was finished; None where that is not known, because nobody listens or answers.

    A restart in place starts the clock anew: what it takes to begin again is no stall.
    """
    if status.running_since is None or words is None or (now - words.heard_at).total_seconds() > HEARD_WITHIN:
        return None
    times = [status.running_since]
    progress = words.progress
    if progress is not None and progress.updated_at is not None:
        times.append(progress.updated_at)
    times += [
        failure.at
        for failure in status.failures
        if failure.action is FailureAction.RESTARTED_IN_PLACE and failure.attempt == status.attempt
    ]
    step = progress.step if progress is not None else None
    return Stall(seconds=(now - max(times)).total_seconds(), step=step)


def active_seconds(status: TrainingJobStatus, *, now: datetime) -> int:
    """Seconds spent in phase Running until now, over all attempts."""
    since = status.running_since
    return status.active_seconds + (0 if since is None else max(0, int((now - since).total_seconds())))


def _remaining(spec: TrainingJobSpec, status: TrainingJobStatus, crew: Crew, *, now: datetime) -> dict[str, float]:
    """Seconds left of each deadline whose clock runs."""
    limits = spec.deadlines
    left: dict[str, float] = {}
    held_since = crew.first_scheduled_at
    match status.phase:
        case Phase.QUEUED if limits.queued is not None and status.phase_since is not None and held_since is None:
            left["queued"] = limits.queued - (now - status.phase_since).total_seconds()
        case Phase.STARTING if limits.starting is not None and held_since is not None:
            left["starting"] = limits.starting - (now - held_since).total_seconds()
        case Phase.RUNNING if limits.active is not None:
            left["active"] = limits.active - active_seconds(status, now=now)
    return left
