"""Conditions: facts with the time of their last change, so that `kubectl wait` and people can rely on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from regatta.api.status import Cause, Condition, ConditionType, Phase
from regatta.plan.crew import Crew
from regatta.plan.model import Job
from regatta.plan.obstacle import Obstacle

__all__ = ["conditions_of", "find", "with_condition"]


def find(conditions: Sequence[Condition], type_: ConditionType) -> Condition | None:
    """Return the condition of that type, None when it was never stated."""
    return next((condition for condition in conditions if condition.type == type_), None)


def with_condition(
    conditions: Sequence[Condition],
    type_: ConditionType,
    *,
    holds: bool,
    reason: str,
    message: str = "",
    now: datetime,
    generation: int,
) -> tuple[Condition, ...]:
    """Return `conditions` with one restated; its transition time changes only when True and False change places."""
    value = "True" if holds else "False"
    earlier = find(conditions, type_)
    changed_at = earlier.last_transition_time if earlier is not None and earlier.status == value else now
    stated = Condition(
        type=type_.value,
        status=value,
        reason=reason,
        message=message,
        last_transition_time=changed_at,
        observed_generation=generation,
    )
    if earlier is None:
        return (*conditions, stated)
    return tuple(stated if condition.type == type_ else condition for condition in conditions)


def conditions_of(
    job: Job, crew: Crew | None, *, phase: Phase, obstacle: Obstacle | None = None, now: datetime
) -> tuple[Condition, ...]:
    """Conditions of a job that has not ended: Accepted, Scheduled, Running, and Suspended once it ever was."""
    stated = job.status.conditions
    scheduled = crew is not None and crew.all_scheduled
    unplaced = obstacle is not None and obstacle.cause is Cause.UNSCHEDULABLE
    facts = [
        (ConditionType.ACCEPTED, True, "Valid", "the spec is valid"),
        (
            ConditionType.SCHEDULED,
            scheduled,
            "AllWorkers" if scheduled else Cause.UNSCHEDULABLE.value if unplaced else "Waiting",
            obstacle.message if obstacle is not None and unplaced else "",
        ),
        (
            ConditionType.RUNNING,
            phase is Phase.RUNNING,
            "Training" if phase is Phase.RUNNING else phase.value,
            "",
        ),
    ]
    if phase is Phase.SUSPENDED or find(stated, ConditionType.SUSPENDED) is not None:
        suspended = phase is Phase.SUSPENDED
        facts.append((ConditionType.SUSPENDED, suspended, "Suspended" if suspended else "Resumed", ""))
    for type_, holds, reason, message in facts:
        stated = with_condition(
            stated, type_, holds=holds, reason=reason, message=message, now=now, generation=job.generation
        )
    return stated
