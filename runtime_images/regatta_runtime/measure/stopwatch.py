"""Splits one training process's time into states, from a few calls a step. No I/O, and the clock is a parameter.

Time after a step belongs to the next one, if there is a next one: so it is counted when that step is done, and what is
left when the process ends was idle. Whether an evaluation was one is known in the same way, at its end: a part of a
model that is switched to evaluation and stays so (a frozen teacher, say) does not keep the steps from being steps.
Before the first step, one that saw no batch was the building of a model.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Callable, Dict, List

from regatta_runtime.measure.readings import BOUNDS, Histogram, Reading
from regatta_runtime.measure.states import COMPILE, DATA_WAIT, EVAL, IDLE, INIT, REWORK, STEP

Clock = Callable[[], float]


class Stopwatch:
    """One process. Every moment belongs to the innermost open state, but a wait in an evaluation to that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock()
        self._base = INIT
        self._inner: List[str] = []
        self._began: List[float] = []
        self._seconds: Dict[str, float] = {}
        self._after_step = 0.0  # not yet known whether it is a step's
        self._waited = 0.0  # for data, since the last step
        self._evaluating = False
        self._in_evaluation = 0.0  # not yet known whether it is an evaluation's
        self._saw_batch = False  # in that evaluation
        self._delivered = 0  # samples handed out since the last step
        self._held_back = 0  # those handed out in what may be an evaluation
        self._sums: Dict[str, float] = {}
        self._counts: Dict[str, List[int]] = {}
        self.steps = 0
        self.samples = 0
        self.lost = 0

    def enter(self, state: str) -> None:
        """A state begins inside of the present one."""
        self._account()
        self._inner.append(state)
        self._began.append(self._at)

    def leave(self) -> bool:
        """The innermost state ends; whether it was the only one of its kind."""
        self._account()
        if not self._inner:
            return False
        state, began = self._inner.pop(), self._began.pop()
        outermost = state not in self._inner
        if outermost and state != DATA_WAIT and state in BOUNDS:
            self._note(state, self._at - began)
        return outermost

    def batch(self, samples: int) -> None:
        """A batch was handed to the program."""
        if EVAL in self._inner:
            return
        if self._evaluating:
            if self._base == INIT and not self._saw_batch:
                self._account()
                self._add(INIT, self._in_evaluation)  # before the very first batch it was none
                self._in_evaluation = 0.0
            self._saw_batch = True
            self._held_back += samples
            return
        if self._base == INIT:
            self._account()
            self._base = COMPILE
        self._delivered += samples

    def discard(self) -> None:
        """What was handed out since the last step was not for training."""
        self._delivered = 0

    def step(self, *, again: bool = False, times: int = 1) -> None:
        """A step is done, or several at once; `again`: an earlier life of the training had done it already."""
        self._account()
        if self._base == STEP:
            spent = self._after_step + self._in_evaluation
            self._add(REWORK if again else STEP, spent)
            self._note(STEP, (spent + self._waited) / times, times)
        else:
            self._add(COMPILE, self._in_evaluation)
        self._after_step = self._in_evaluation = self._waited = 0.0
        self._base, self._evaluating, self._saw_batch = STEP, False, False
        self.steps += times
        self.lost += times if again else 0
        self.samples += self._delivered + self._held_back
        self._delivered = self._held_back = 0

    def evaluate(self, on: bool) -> None:
        """The model was switched to evaluation, or back to training."""
        if on == self._evaluating or EVAL in self._inner:
            return
        self._account()
        self._evaluating = on
        if not on:
            was_one = self._base == STEP or self._saw_batch
            self._add(EVAL if was_one else self._base, self._in_evaluation)
            self._in_evaluation, self._held_back, self._saw_batch = 0.0, 0, False

    def reading(self) -> Reading:
        """What is certain at this moment."""
        self._account()
        durations = {kind: Histogram(self._sums[kind], tuple(counts)) for kind, counts in self._counts.items()}
        return Reading(self.steps, self.samples, dict(self._seconds), self.lost, durations)

    def finish(self) -> Reading:
        """The process ends: what no step followed was none."""
        self._account()
        self._add(IDLE, self._after_step)
        self._add(EVAL if self._base == STEP or self._saw_batch else self._base, self._in_evaluation)
        self._after_step = self._in_evaluation = 0.0
        return self.reading()

    def _account(self) -> None:
        now = self._clock()
        spent, self._at = now - self._at, now
        inner = self._inner[-1] if self._inner else ""
        if inner == DATA_WAIT and EVAL in self._inner:
            self._add(EVAL, spent)
        elif self._evaluating and inner in ("", DATA_WAIT):
            self._in_evaluation += spent
        elif inner:
            self._add(inner, spent)
            if inner == DATA_WAIT:
                self._waited += spent
        elif self._base == STEP:
            self._after_step += spent
        else:
            self._add(self._base, spent)

    def _add(self, state: str, seconds: float) -> None:
        if seconds > 0.0:
            self._seconds[state] = self._seconds.get(state, 0.0) + seconds

    def _note(self, kind: str, seconds: float, times: int = 1) -> None:
        bounds = BOUNDS[kind]
        counts = self._counts.setdefault(kind, [0] * (len(bounds) + 1))
        counts[bisect_left(bounds, seconds)] += times
        self._sums[kind] = self._sums.get(kind, 0.0) + seconds * times
