"""What a job's status must say at its end, given everything that was done to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

__all__ = ["CREW_LOST", "NODE_LOST", "POD_DELETED", "USER_ERROR", "Account", "Causes", "fits", "unbooked"]

Causes = frozenset[str]
"""Causes that one failure may rightly be given: who notices first a dead node, its crew or the cluster, is open."""

USER_ERROR: Final = frozenset({"UserError"})
CREW_LOST: Final = frozenset({"CrewLost"})
POD_DELETED: Final = frozenset({"PodDeleted"})
NODE_LOST: Final = frozenset({"NodeLost", "CrewLost"})
ROUNDING: Final = 0.1
TAKEN_UP: Final = 60.0
"""Seconds from a job's creation until an operator looks at it, though the one before was killed."""


@dataclass(kw_only=True)
class Account:
    """The failures that one job has to have met."""

    budget: int
    phase: str = "Succeeded"
    reason: str = "Completed"
    in_place: list[Causes] = field(default_factory=list)
    """Failures after which the pods stayed."""
    attempts: list[Causes] = field(default_factory=list)
    """Failures that ended an attempt."""

    @property
    def failures(self) -> list[Causes]:
        """All of them."""
        return [*self.in_place, *self.attempts]

    def settled(self, status: Mapping[str, Any]) -> bool:
        """Whether the status knows of all failures so far."""
        told: Mapping[str, int] = status.get("failureCounts", {})
        return sum(told.values()) >= len(self.failures)

    def mismatches(self, status: Mapping[str, Any]) -> list[str]:
        """What the status says that is not so, one line each."""
        counted = self.failures.count(USER_ERROR)
        restarted = len(self.attempts) - (self.phase == "Failed")
        wanted = {
            "phase": self.phase,
            "reason": self.reason,
            "attempt": 1 + restarted,
            "restartsUsed": min(self.budget, counted),
            "restartsInPlace": len(self.in_place),
        }
        found = {"restartsUsed": 0, "restartsInPlace": 0, **status}
        wrong = [
            f"{name} is {found.get(name)}, not {value}" for name, value in wanted.items() if found.get(name) != value
        ]
        counts = status.get("failureCounts", {})
        if not fits(self.failures, counts):
            told = Counter("|".join(sorted(causes)) for causes in self.failures)
            wrong.append(f"failureCounts are {counts}, not {dict(told)}")
        return wrong + unbooked(status)


def unbooked(status: Mapping[str, Any]) -> list[str]:
    """What the ledger lacks of a job's life, or has too much; a job is taken up soon after its creation."""
    if not {"startTime", "completionTime"} <= status.keys():
        return []
    began, ended = (datetime.fromisoformat(status[name]) for name in ("startTime", "completionTime"))
    lived, booked = (ended - began).total_seconds(), sum(status.get("ledger", {}).values())
    if lived - ROUNDING <= booked <= lived + TAKEN_UP + ROUNDING:
        return []
    return [f"the ledger adds up to {booked:.1f} s of a life of {lived:.0f} s: {status.get('ledger')}"]


def fits(failures: Sequence[Causes], counts: Mapping[str, int]) -> bool:
    """Whether each failure can be given one of its causes so that each cause is given as often as counted."""
    left = Counter({cause: number for cause, number in counts.items() if number})
    if left.total() != len(failures):
        return False
    return _assign(sorted(failures, key=len), left)


def _assign(failures: Sequence[Causes], left: Counter[str]) -> bool:
    if not failures:
        return True
    return any(left[cause] > 0 and _assign(failures[1:], left - Counter([cause])) for cause in failures[0])
