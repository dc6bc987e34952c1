"""What a failure comes to, whoever found it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from regatta.api.status import Cause

__all__ = ["Verdict", "earlier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The failure that ended an attempt."""

    cause: Cause
    message: str
    at: datetime
    pod: str = ""
    node: str = ""
    exit_code: int | None = None
    symptom: bool = False
    """Whether this only tells that somebody else of the crew was lost; the culprit may be reported in a moment."""


def earlier(one: Verdict | None, other: Verdict | None) -> Verdict | None:
    """Return the verdict of what failed first, the first of two at the same time."""
    if one is None or other is None:
        return one or other
    return one if one.at <= other.at or other.symptom else other
