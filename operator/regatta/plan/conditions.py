"""Conditions: facts with the time of their last change, so that `kubectl wait` and people can rely on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from regatta.api.status import Condition, ConditionType

__all__ = ["find", "with_condition"]


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
