"""One training process's stopwatch, and its readings on their way to the launcher.

Everything is counted in the thread that measuring began in, which trains; a process that it forks (a DataLoader's
worker) measures nothing. A mistake here ends the measuring, is told once, and never reaches the program.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import Any, Callable, Optional, TypeVar

from regatta_runtime import courier
from regatta_runtime.measure.stopwatch import Reading, Stopwatch

INTERVAL_SECONDS = 0.5
Function = TypeVar("Function", bound=Callable[..., Any])


class Meter:
    """Calls for hooks: each costs a few microseconds, and nothing once measuring has ended."""

    def __init__(
        self, *, clock: Callable[[], float] = time.perf_counter, samples_per_step: Optional[int] = None
    ) -> None:
        self._clock = clock
        self._watch = Stopwatch(clock)
        self._thread = threading.get_ident()
        self._samples_per_step = samples_per_step
        self._send_at = 0.0
        self.on = True
        os.register_at_fork(after_in_child=self._end)
        atexit.register(self._finish)

    def here(self) -> bool:
        """Whether this call comes from the thread that is measured."""
        return self.on and threading.get_ident() == self._thread

    def enter(self, state: str) -> None:
        """A state begins in the program."""
        self._watch.enter(state)

    def leave(self) -> None:
        """It ends."""
        self._watch.leave()

    def batch(self, value: object) -> None:
        """A batch was handed to the program."""
        self._watch.batch(0 if self._samples_per_step is not None else leading_dimension(value))

    def step(self) -> None:
        """A step is done."""
        watch = self._watch
        if self._samples_per_step is not None:
            watch.batch(self._samples_per_step)
        watch.step()
        if self._clock() >= self._send_at:
            self._send_at = self._clock() + INTERVAL_SECONDS
            self._send(watch.reading())

    def evaluate(self, on: bool) -> None:
        """The model was switched to evaluation, or back."""
        self._watch.evaluate(on)

    def fail(self, problem: Exception) -> None:
        """Measure no more, and say so once."""
        if self.on:
            self._end()
            said = f"{type(problem).__name__}: {problem}"
            print(f"[regatta] measures no more in this process: {said}", file=sys.stderr, flush=True)

    def _send(self, reading: Reading) -> None:
        seconds = {state: round(spent, 4) for state, spent in reading.seconds.items()}
        measured = {"steps": reading.steps, "samples": reading.samples, "seconds": seconds}
        with contextlib.suppress(OSError, KeyError):  # a launcher that is busy: the next reading holds all of this one
            courier.send({"measured": measured})

    def _finish(self) -> None:
        if self.on:
            self.on = False
            self._send(self._watch.finish())

    def _end(self) -> None:
        self.on = False


def leading_dimension(value: object, depth: int = 3) -> int:
    """Samples of a batch: the first dimension of its first array; 0 where none is found."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 0
    if depth and isinstance(value, dict):
        value = list(value.values())
    if depth and isinstance(value, (list, tuple)):
        for part in value:
            found = leading_dimension(part, depth - 1)
            if found:
                return found
    return 0


def timed(meter: Meter, function: Function, state: str) -> Function:
    """The function, with its time in a state."""
    import functools

    @functools.wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        if not meter.here():
            return function(*args, **kwargs)
        meter.enter(state)
        try:
            return function(*args, **kwargs)
        finally:
            meter.leave()

    return measured  # type: ignore[return-value]
