"""Measures waits for the feed, where a program goes through its batches in Python; TensorFlow measures a Dataset's."""

from __future__ import annotations

from typing import Any, Dict, Iterator

from regatta_runtime.hooks.imports import Hook
from regatta_runtime.measure.meter import Meter, fetching


def hooks(meter: Meter) -> Dict[str, Hook]:
    """The module after whose import something is put in place, and what."""
    return {"regatta_runtime.data.batches": lambda module: _batches(module.Batches, meter)}


def _batches(kind: Any, meter: Meter) -> None:
    through = kind.__iter__

    class Measured:
        """One epoch. It keeps no batch: whoever gets one alone keeps it, and with it its memory."""

        def __init__(self, stream: Iterator[Any]) -> None:
            self._stream = stream

        def __iter__(self) -> Measured:
            return self

        def following(self) -> Any:
            return next(self._stream)

        def close(self) -> None:
            self._stream.close()  # type: ignore[attr-defined]

    Measured.__next__ = fetching(meter, Measured.following)  # type: ignore[attr-defined]
    kind.__iter__ = lambda self: Measured(through(self))
