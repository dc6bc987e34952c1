"""The launcher's side of measuring: what each local process told, over all generations, and the pace of late.

A process's numbers begin at zero; those of one that ended are kept, so that what is served only grows.
"""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque, Dict, NamedTuple, Optional, Tuple

from regatta_runtime.measure import readings
from regatta_runtime.measure.readings import EMPTY, About, Reading
from regatta_runtime.measure.states import COMPILE, DATA_WAIT, REWORK, STEP

PACE_SECONDS = 60.0  # the pace is that of the last minute
KEPT_SECONDS = 0.5  # readings that come closer than this are not all kept


class Pace(NamedTuple):
    """How one process fares: of the last minute, or of all its steps while there are few."""

    samples_per_second: Optional[float]
    step_seconds: float
    data_stall_fraction: Optional[float]  # None where nobody sees the waits

    def to_json(self, *, processes: int) -> Dict[str, float]:
        """The crew's pace, where all its processes train as this one does: samples are those of all together."""
        told = {"stepSeconds": self.step_seconds}
        if self.data_stall_fraction is not None:
            told["dataStallFraction"] = self.data_stall_fraction
        if self.samples_per_second is not None:
            told["samplesPerSecond"] = self.samples_per_second * processes
        return {name: float(f"{value:.4g}") for name, value in told.items()}


class Ledger:
    """Readings by rank."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._done: Dict[int, Reading] = {}  # of processes that ended
        self._now: Dict[int, Reading] = {}
        self._past: Dict[int, Deque[Tuple[float, Reading]]] = {}
        self.about: Optional[About] = None  # as the lowest rank says
        self.highest = 0  # step of the whole training that is known to have been done

    def begin_generation(self) -> None:
        """New processes: theirs is added to what the old ones told."""
        for rank, reading in self._now.items():
            self._done[rank] = readings.total(self._done.get(rank, EMPTY), reading)
        self._now, self._past = {}, {}

    def take(self, rank: int, told: object) -> Optional[Reading]:
        """A process's own words, as far as they are believed; what makes no sense is left out."""
        reading = readings.read(told)
        if reading is None:
            return None
        self.highest = max(self.highest, reading.global_step or 0)
        if isinstance(told, dict) and "about" in told:
            self.about = readings.read_about(told["about"])
        self._now[rank] = reading
        past = self._past.setdefault(rank, deque())
        now = self._clock()
        if len(past) > 1 and now - past[-2][0] < KEPT_SECONDS:
            past[-1] = (now, reading)
        else:
            past.append((now, reading))
        while len(past) > 2 and past[1][0] < now - PACE_SECONDS:
            past.popleft()
        return reading

    def total(self) -> Dict[int, Reading]:
        """Everything since the launcher began, by rank."""
        ranks = sorted(self._done.keys() | self._now.keys())
        return {rank: readings.total(self._done.get(rank, EMPTY), self._now.get(rank, EMPTY)) for rank in ranks}

    def global_step(self) -> Optional[int]:
        """At which step of the whole training the lowest measuring rank is; None where that is not known."""
        total = self.total()
        return next(iter(total.values())).global_step if total else None

    def pace(self) -> Optional[Pace]:
        """That of the lowest rank that measures; None before its second step."""
        past = self._past.get(min(self._past)) if self._past else None
        if not past:
            return None
        first, last = past[0][1], past[-1][1]
        if last.steps - first.steps < 2:
            first = EMPTY  # all of it; the first step's compilation is a state of its own
        steps = last.steps - first.steps - (1 if first is EMPTY and COMPILE in last.seconds else 0)
        done, again, wait = (last.seconds.get(s, 0.0) - first.seconds.get(s, 0.0) for s in (STEP, REWORK, DATA_WAIT))
        work = done + again
        if steps < 1 or work + wait <= 0.0:
            return None
        samples = (last.samples - first.samples) * steps / (last.steps - first.steps)
        return Pace(
            samples_per_second=samples / (work + wait) if samples else None,
            step_seconds=(work + wait) / steps,
            data_stall_fraction=wait / (work + wait) if DATA_WAIT in last.seconds else None,
        )
