"""The time of one process over all generations of this launcher, as the operator books it: worker 0's is the job's.

A process's own words begin when its framework is imported and end with its last step. The launcher knows what lies
around them: from the start of a generation to the instruments' beginning the program starts (init), and from the last
word of a generation that is over to the start of the next one the crew meets anew (rendezvous).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from regatta_runtime.measure.states import INIT, RENDEZVOUS
from regatta_runtime.measure.stopwatch import Reading


class Story:
    """Seconds by state, which only grow, and how long all of it took so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: Optional[float] = None  # when the first generation began
        self._began = 0.0  # when the present one did
        self._heard: Optional[float] = None  # when its process told something last
        self._around: Dict[str, float] = {}

    def begin_generation(self) -> None:
        """New processes start now."""
        now = self._clock()
        if self._first is None:
            self._first = now
        elif self._heard is not None:
            self._add(RENDEZVOUS, now - self._heard)
        else:
            self._add(INIT, now - self._began)  # it ended before it had trained
        self._began, self._heard = now, None

    def take(self, reading: Optional[Reading]) -> None:
        """The process told this of the present generation."""
        if reading is None or self._first is None:
            return
        now = self._clock()
        if self._heard is None:
            self._add(INIT, now - self._began - sum(reading.seconds.values()))
        self._heard = now

    def to_json(self, total: Optional[Reading]) -> Dict[str, Any]:
        """What is known, given all that the process told in all generations; {} before the first generation."""
        if self._first is None:
            return {}
        told: Dict[str, Any] = {"elapsed": round(self._clock() - self._first, 3)}
        if total is not None:
            states = total.seconds.keys() | self._around.keys()
            seconds = {s: total.seconds.get(s, 0.0) + self._around.get(s, 0.0) for s in sorted(states)}
            told["seconds"] = {state: round(spent, 3) for state, spent in seconds.items()}
        return told

    def _add(self, state: str, seconds: float) -> None:
        if seconds > 0.0:
            self._around[state] = self._around.get(state, 0.0) + seconds
