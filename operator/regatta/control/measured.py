"""Writes that only bring measured numbers up to date, held to a rate over all jobs together.

A change of phase is written at once. How far a job is, its efficiency and its ledger change all the time, in ten
thousand jobs as in one: these writes get turns, one after another, and what waits for its turn loses nothing, because
the next write holds everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from regatta.api.status import TrainingJobStatus
from regatta.kube.store import JobKey

__all__ = ["MEASURED", "Turns", "is_only_measured"]

MEASURED: Final = ("progress", "efficiency", "ledger", "attempt_ledger")
"""Fields of the status that are measured."""


def is_only_measured(before: TrainingJobStatus, after: TrainingJobStatus) -> bool:
    """Whether the two differ in nothing but measured numbers."""
    return before.model_copy(update={name: getattr(after, name) for name in MEASURED}) == after


class Turns:
    """Gives each job a turn to write, so many a second over all; a few may come together after a quiet time."""

    def __init__(self, *, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._burst = 1.0
        self._clock = clock
        self._next = -self._burst
        """When the next turn that is not given away yet comes."""
        self._given: dict[JobKey, float] = {}

    def __len__(self) -> int:
        return len(self._given)

    def wait(self, key: JobKey) -> float:
        """Seconds until this job's turn; 0 when it is now, and then it is used up."""
        now = self._clock()
        turn = self._given.get(key)
        if turn is None:
            turn = max(self._next, now - self._burst)
            self._next = turn + self._interval
        if turn <= now:
            self._given.pop(key, None)
            return 0.0
        self._given[key] = turn
        return turn - now

    def forget(self, key: JobKey) -> None:
        """The job is gone, or all of it was written."""
        self._given.pop(key, None)
