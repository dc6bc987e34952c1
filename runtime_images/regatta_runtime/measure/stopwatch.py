"""Splits one training process's time into states, from a few calls a step. No I/O, and the clock is a parameter.

Time after a step belongs to the next one, if there is a next one: so it is counted when that step is done, and what is
left when the process ends was idle. Whether an evaluation was one is known in the same way, at its end: a part of a
model that is switched to evaluation and stays so (a frozen teacher, say) does not keep the steps from being steps.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple

from regatta_runtime.measure.states import COMPILE, DATA_WAIT, EVAL, IDLE, INIT, STEP

Clock = Callable[[], float]


class Reading(NamedTuple):
    """What is known for certain so far; every number only grows."""

    steps: int
    samples: int
    seconds: Dict[str, float]


class Stopwatch:
    """One process. Every moment belongs to the innermost open state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock()
        self._base = INIT
        self._inner: List[str] = []
        self._seconds: Dict[str, float] = {}
        self._after_step = 0.0  # not yet known whether it is a step's
        self._evaluating = False
        self._in_evaluation = 0.0  # not yet known whether it is an evaluation's
        self._delivered = 0  # samples handed out since the last step
        self.steps = 0
        self.samples = 0

    def enter(self, state: str) -> None:
        """A state begins inside of the present one."""
        self._account()
        self._inner.append(state)

    def leave(self) -> None:
        """The innermost state ends."""
        self._account()
        if self._inner:
            self._inner.pop()

    def batch(self, samples: int) -> None:
        """A batch was handed to the program."""
        if self._base == INIT:
            self._account()
            self._base = COMPILE
        if not self._evaluating:
            self._delivered += samples

    def step(self) -> None:
        """A step is done."""
        self._account()
        self._add(STEP, self._after_step + self._in_evaluation)
        self._after_step = self._in_evaluation = 0.0
        self._base, self._evaluating = STEP, False
        self.steps += 1
        self.samples += self._delivered
        self._delivered = 0

    def evaluate(self, on: bool) -> None:
        """The model was switched to evaluation, or back to training."""
        if on == self._evaluating or self._base != STEP:
            return
        self._account()
        self._evaluating = on
        if not on:
            self._add(EVAL, self._in_evaluation)
            self._in_evaluation = 0.0

    def reading(self) -> Reading:
        """What is certain at this moment."""
        self._account()
        return Reading(self.steps, self.samples, dict(self._seconds))

    def finish(self) -> Reading:
        """The process ends: what no step followed was none."""
        self._account()
        self._add(IDLE, self._after_step)
        self._add(EVAL, self._in_evaluation)
        self._after_step = self._in_evaluation = 0.0
        return Reading(self.steps, self.samples, dict(self._seconds))

    def _account(self) -> None:
        now = self._clock()
        spent, self._at = now - self._at, now
        inner = self._inner[-1] if self._inner else ""
        if self._evaluating and inner in ("", DATA_WAIT):
            self._in_evaluation += spent
        elif inner:
            self._add(inner, spent)
        elif self._base == STEP:
            self._after_step += spent
        else:
            self._add(self._base, spent)

    def _add(self, state: str, seconds: float) -> None:
        if seconds > 0.0:
            self._seconds[state] = self._seconds.get(state, 0.0) + seconds
