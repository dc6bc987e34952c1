"""The launcher's side of measuring: what each local process told, over all generations, and the pace of late.

A process's numbers begin at zero; those of one that ended are kept, so that what is served only grows.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from regatta_runtime.measure.states import COMPILE, DATA_WAIT, STATES, STEP
from regatta_runtime.measure.stopwatch import Reading

PACE_SECONDS = 60.0  # the pace is that of the last minute
LIMIT = 2**53

EMPTY = Reading(0, 0, {})


class Pace(NamedTuple):
    """How one process fares: of the last minute, or of all its steps while there are few."""

    samples_per_second: Optional[float]
    step_seconds: float
    data_stall_fraction: float

    def to_json(self, *, processes: int) -> Dict[str, float]:
        """The crew's pace, where all its processes train as this one does: samples are those of all together."""
        told = {"stepSeconds": self.step_seconds, "dataStallFraction": self.data_stall_fraction}
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

    def begin_generation(self) -> None:
        """New processes: theirs is added to what the old ones told."""
        for rank, reading in self._now.items():
            self._done[rank] = _sum(self._done.get(rank, EMPTY), reading)
        self._now, self._past = {}, {}

    def take(self, rank: int, told: object) -> Optional[Reading]:
        """A process's own words, as far as they are believed; what makes no sense is left out."""
        reading = _read(told)
        if reading is None:
            return None
        self._now[rank] = reading
        past = self._past.setdefault(rank, deque())
        now = self._clock()
        past.append((now, reading))
        while len(past) > 2 and past[1][0] < now - PACE_SECONDS:
            past.popleft()
        return reading

    def total(self) -> Dict[int, Reading]:
        """Everything since the launcher began, by rank."""
        ranks = sorted(self._done.keys() | self._now.keys())
        return {rank: _sum(self._done.get(rank, EMPTY), self._now.get(rank, EMPTY)) for rank in ranks}

    def pace(self) -> Optional[Pace]:
        """That of the lowest rank that measures; None before its second step."""
        past = self._past.get(min(self._past)) if self._past else None
        if not past:
            return None
        first, last = past[0][1], past[-1][1]
        if last.steps - first.steps < 2:
            first = EMPTY  # all of it; the first step's compilation is a state of its own
        steps = last.steps - first.steps - (1 if first is EMPTY and COMPILE in last.seconds else 0)
        work, wait = (last.seconds.get(s, 0.0) - first.seconds.get(s, 0.0) for s in (STEP, DATA_WAIT))
        if steps < 1 or work + wait <= 0.0:
            return None
        samples = last.samples - first.samples
        return Pace(
            samples_per_second=samples / (work + wait) if samples else None,
            step_seconds=(work + wait) / steps,
            data_stall_fraction=wait / (work + wait),
        )


def metrics(total: Dict[int, Reading]) -> List[str]:
    """Lines of Prometheus' text format; none while nothing was measured."""
    if not total:
        return []
    lines = _family("regatta_runtime_steps_total", "Optimizer steps that a process has done")
    lines += [f'regatta_runtime_steps_total{{rank="{rank}"}} {reading.steps}' for rank, reading in total.items()]
    lines += _family("regatta_runtime_samples_total", "Samples that a process has trained on")
    lines += [f'regatta_runtime_samples_total{{rank="{rank}"}} {reading.samples}' for rank, reading in total.items()]
    lines += _family("regatta_runtime_time_seconds_total", "Time of a process in exclusive states")
    for rank, reading in total.items():
        for state in STATES:
            if state in reading.seconds:
                spent = f"{reading.seconds[state]:.4f}"
                lines.append(f'regatta_runtime_time_seconds_total{{rank="{rank}",state="{state}"}} {spent}')
    return lines


def _family(name: str, text: str) -> List[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} counter"]


def _sum(one: Reading, other: Reading) -> Reading:
    states = one.seconds.keys() | other.seconds.keys()
    seconds = {state: one.seconds.get(state, 0.0) + other.seconds.get(state, 0.0) for state in states}
    return Reading(one.steps + other.steps, one.samples + other.samples, seconds)


def _read(told: object) -> Optional[Reading]:
    if not isinstance(told, dict):
        return None
    steps, samples, seconds = told.get("steps"), told.get("samples"), told.get("seconds")
    if not _whole(steps) or not _whole(samples) or not isinstance(seconds, dict):
        return None
    kept = {state: float(seconds[state]) for state in STATES if _number(seconds.get(state))}
    return Reading(int(steps), int(samples), kept)  # type: ignore[arg-type, call-overload]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LIMIT


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LIMIT
