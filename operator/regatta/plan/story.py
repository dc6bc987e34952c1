"""Kubernetes events told by the difference of two statuses: one for each step of a job's life, none twice."""

from __future__ import annotations

from regatta.api.status import Cause, Phase, TrainingJobStatus
from regatta.plan.model import Event

__all__ = ["events_between"]

OBSTACLES = frozenset(cause.value for cause in Cause)


def events_between(before: TrainingJobStatus, after: TrainingJobStatus) -> tuple[Event, ...]:
    """Return the events that a change of phase or of obstacle is worth; empty when neither changed."""
    if after.phase is None or (before.phase, before.reason) == (after.phase, after.reason):
        return ()
    if after.phase is Phase.FAILED or after.phase is Phase.RESTARTING:
        return (Event(type="Warning", reason=after.phase.value, message=f"{after.reason}: {after.message}"),)
    if after.reason in OBSTACLES:
        return (Event(type="Warning", reason=after.reason, message=after.message),)
    if before.phase is after.phase and before.reason not in OBSTACLES:
        return ()
    return (Event(type="Normal", reason=after.phase.value, message=after.message),)
