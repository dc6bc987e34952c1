"""One training process's stopwatch, and its readings on their way to the launcher.

Everything is counted in the thread that measuring began in, which trains; a process that it forks (a DataLoader's
worker) measures nothing. A mistake here ends the measuring, is told once, and never reaches the program.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, Optional, TypeVar

from regatta_runtime import courier
from regatta_runtime.measure.position import Position
from regatta_runtime.measure.readings import Reading
from regatta_runtime.measure.states import CHECKPOINT_RESTORE, CHECKPOINT_SAVE, DATA_WAIT
from regatta_runtime.measure.stopwatch import Stopwatch

# A process that is killed takes with it what it has not told: at most this, or one step where those take longer.
INTERVAL_SECONDS = 0.1
Function = TypeVar("Function", bound=Callable[..., Any])

_the_one: Optional[Meter] = None


class Meter:
    """Calls for hooks: each costs a few microseconds, and nothing once measuring has ended.

    `known` is the highest step that an earlier life of this training is known to have finished.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        samples_per_step: Optional[int] = None,
        known: int = 0,
        full: bool = False,
    ) -> None:
        self._clock = clock
        self._watch = Stopwatch(clock)
        self._thread = threading.get_ident()
        self._samples_per_step = samples_per_step
        self._known = known
        self._full = full
        self._send_at = 0.0
        self._saved_at: Optional[float] = None
        self._saved_bytes: Optional[int] = None
        self.words: Dict[str, str] = {}  # about what trains
        self.position = Position()
        self.aside = False  # in a step that is none of the program's
        self.on = True
        os.register_at_fork(after_in_child=self._end)
        atexit.register(self._finish)

    @property
    def steps(self) -> int:
        """Those that this process has done."""
        return self._watch.steps

    def here(self) -> bool:
        """Whether this call comes from the thread that is measured."""
        return self.on and threading.get_ident() == self._thread

    def enter(self, state: str) -> None:
        """A state begins in the program."""
        self._watch.enter(state)

    def leave(self) -> bool:
        """It ends; whether it stood in no other of its kind."""
        return self._watch.leave()

    def batch(self, value: object) -> None:
        """A batch was handed to the program."""
        self.delivered(leading_dimension(value))

    def delivered(self, samples: int) -> None:
        """A batch of so many samples was."""
        self._watch.batch(0 if self._samples_per_step is not None else samples)

    def discard(self) -> None:
        """The batches since the last step were not for training."""
        self._watch.discard()

    def step(self, times: int = 1) -> None:
        """A step is done, or several that cannot be told apart."""
        watch = self._watch
        if self._samples_per_step is not None:
            watch.batch(self._samples_per_step * times)
        again = False
        if self._known:
            position = self.position.after(watch.steps + times)
            again = position is not None and position <= self._known
        watch.step(again=again, times=times)
        if self._clock() >= self._send_at:
            self._send_at = self._clock() + INTERVAL_SECONDS
            self._send(watch.reading(), stepped=True)

    def evaluate(self, on: bool) -> None:
        """The model was switched to evaluation, or back."""
        self._watch.evaluate(on)

    def restored(self) -> None:
        """State of an earlier life was loaded; later on, a program may load what it likes."""
        if not self.steps:
            self.position.restored()

    def saved(self, path: object) -> None:
        """A checkpoint was written without an error; its size is known where it is one file."""
        self._saved_at, self._saved_bytes = time.time(), None
        with contextlib.suppress(OSError, ValueError):
            if isinstance(path, (str, os.PathLike)) and os.path.isfile(path):
                self._saved_bytes = os.path.getsize(path)

    def set_samples_per_step(self, samples: int) -> None:
        """Believe the program, not its batches."""
        self._samples_per_step = samples

    def about(self, **words: str) -> None:
        """Something about what trains: version, strategy, precision."""
        self.words.update(words)

    def fail(self, problem: BaseException) -> None:
        """Measure no more, and say so once."""
        if self.on:
            self._end()
            said = f"{type(problem).__name__}: {problem}"
            print(f"[regatta] measures no more in this process: {said}", file=sys.stderr, flush=True)

    def _send(self, reading: Reading, *, stepped: bool = False) -> None:
        now = time.time() if stepped else None
        told = reading._replace(
            global_step=self.position.after(reading.steps) if reading.steps else None,
            stepped_at=now,
            saved_at=self._saved_at,
            saved_bytes=self._saved_bytes,
        ).to_json(full=self._full)
        if self._full and self.words:
            told["about"] = self.words
        with contextlib.suppress(OSError, KeyError):  # a launcher that is busy: the next reading holds all of this one
            courier.send({"measured": told})

    def _finish(self) -> None:
        if self.on:
            self.on = False
            self._send(self._watch.finish())

    def _end(self) -> None:
        self.on = False


def started(meter: Meter) -> Meter:
    """Make it the one that the program can speak to."""
    global _the_one
    _the_one = meter
    return meter


def the_one() -> Optional[Meter]:
    """The meter of this process, where there is one."""
    return _the_one


def leading_dimension(value: object, depth: int = 3) -> int:
    """Samples of a batch: the first dimension of its first array, of all replicas; 0 where none is found."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0] or 0) if len(shape) else 0
    if depth and type(value).__name__ == "PerReplica":  # TensorFlow's: one array for each of the process's devices
        return sum(leading_dimension(part, depth - 1) for part in value.values)  # type: ignore[attr-defined]
    if depth and hasattr(value, "keys") and hasattr(value, "values"):
        value = list(value.values())
    if depth and isinstance(value, (list, tuple)):
        for part in value:
            found = leading_dimension(part, depth - 1)
            if found:
                return found
    return 0


def timed(meter: Meter, function: Function, state: str) -> Function:
    """The function, with its time in a state."""

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


def saving(meter: Meter, function: Function, *, path: Optional[int] = None) -> Function:
    """The function, which writes a checkpoint; `path`: which of its positional arguments says where."""

    @functools.wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        if not meter.here():
            return function(*args, **kwargs)
        meter.enter(CHECKPOINT_SAVE)
        outermost = done = False
        try:
            result = function(*args, **kwargs)
            done = True
        finally:
            outermost = meter.leave()
            if done and outermost:
                where = args[path] if path is not None and len(args) > path else _path(kwargs)
                attempt(meter, lambda: meter.saved(where))
        return result

    return measured  # type: ignore[return-value]


def _path(kwargs: Dict[str, Any]) -> object:
    return next((kwargs[name] for name in ("f", "filepath", "filename", "path") if name in kwargs), None)


def restoring(meter: Meter, function: Function, *, look: Optional[Callable[[Any], None]] = None) -> Function:
    """The function, which reads a checkpoint; `look` may learn from what it returns."""

    @functools.wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        if not meter.here():
            return function(*args, **kwargs)
        meter.enter(CHECKPOINT_RESTORE)
        try:
            result = function(*args, **kwargs)
        finally:
            meter.leave()
        meter.restored()
        if look is not None:
            attempt(meter, lambda: look(result))
        return result

    return measured  # type: ignore[return-value]


def fetching(meter: Meter, following: Function, *, count: Callable[[Any], int] = leading_dimension) -> Function:
    """An iterator's `__next__`, with its time in `data_wait`, and the batch's samples counted."""

    @functools.wraps(following)
    def measured(self: Any) -> Any:
        if not meter.here():
            return following(self)
        meter.enter(DATA_WAIT)
        try:
            batch = following(self)
        finally:
            outermost = meter.leave()
        if outermost:  # an iterator around another one hands out the same batch
            try:
                meter.delivered(count(batch))
            except Exception as problem:
                meter.fail(problem)
        return batch

    return measured  # type: ignore[return-value]


def attempt(meter: Meter, do: Callable[[], Any]) -> None:
    """Do it if measuring goes on; a mistake ends the measuring and nothing else."""
    if meter.on:
        try:
            do()
        except Exception as problem:
            meter.fail(problem)
