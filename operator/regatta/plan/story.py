"""Kubernetes events told by the difference of two statuses: one for each step of a job's life, none twice."""

from __future__ import annotations

from datetime import datetime

from regatta.api.status import Cause, FailureAction, Phase, TrainingJobStatus
from regatta.plan.model import Event

__all__ = ["dated", "events_between", "events_in_place"]

OBSTACLES = frozenset(cause.value for cause in Cause)


def dated(before: TrainingJobStatus, after: TrainingJobStatus, *, now: datetime) -> TrainingJobStatus:
    """Return `after` with the time at which the job came into its phase."""
    if after.phase is before.phase and before.phase_since is not None:
        return after if after.phase_since == before.phase_since else _since(after, before.phase_since)
    return _since(after, now)


def _since(status: TrainingJobStatus, moment: datetime) -> TrainingJobStatus:
    return status.model_copy(update={"phase_since": moment})


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


def events_in_place(before: TrainingJobStatus, after: TrainingJobStatus) -> tuple[Event, ...]:
    """Return the event that restarts in place are worth, which change neither phase nor reason."""
    fresh = after.restarts_in_place - before.restarts_in_place
    if fresh <= 0 or not after.failures:
        return ()
    again = f" ({fresh} times since the last word)" if fresh > 1 else ""
    reason = FailureAction.RESTARTED_IN_PLACE.value
    return (Event(type="Warning", reason=reason, message=f"{after.failures[-1].message}{again}"),)
