"""Sounds between two steps, and how the bytes of a file become one."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from regatta_feed.errors import DamagedError, StepError
from regatta_feed.steps.base import Item

__all__ = ["RATE_LIMIT", "VALUE_LIMIT", "Sound", "Spectrum", "bounded", "sound"]

VALUE_LIMIT: Final = 1 << 26
"""Values of one sound, channels and all: a quarter of a gigabyte, 23 minutes of one channel at 48 kHz."""
RATE_LIMIT: Final = 768_000
CHANNEL_LIMIT: Final = 64
AT_ONCE: Final = 1 << 18


@dataclass(slots=True)
class Sound:
    """Samples of each channel, from -1 to 1."""

    array: NDArray[np.float32]
    """Channels, samples."""
    rate: int


@dataclass(slots=True)
class Spectrum:
    """What frequencies there are at what time."""

    array: NDArray[np.float32]
    """Channels, frequencies, times."""
    rate: int


def sound(item: Item) -> Sound:
    """The item's sound, decoded now if it is not yet; raises DamagedError."""
    value = item.value
    if isinstance(value, Sound):
        return value
    if not isinstance(value, bytes):
        raise StepError(f"{item.name}: this step wants a sound, not {type(value).__name__}")
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise StepError(f"sounds need soundfile: pip install 'regatta-operator[feed]' ({error})") from error
    try:
        with soundfile.SoundFile(io.BytesIO(value)) as file:
            rate, channels = file.samplerate, file.channels
            if not 0 < rate <= RATE_LIMIT or not 0 < channels <= CHANNEL_LIMIT:
                raise DamagedError("decode", f"{item.name}: {channels} channels of {rate} Hz")
            found = _read(file, VALUE_LIMIT // channels, item.name)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError) as error:
        raise DamagedError("decode", f"{item.name}: {' '.join(str(error).split())[:200]}") from error
    if not found.size:
        raise DamagedError("empty", f"{item.name}: no sound in it")
    return Sound(np.ascontiguousarray(np.nan_to_num(found.T)), rate)


def _read(file: Any, limit: int, name: str) -> NDArray[np.float32]:
    """All of it, by pieces, for a header may lie about the length."""
    pieces = []
    left = limit
    while True:
        piece = file.read(min(AT_ONCE, left + 1), dtype="float32", always_2d=True)
        if not len(piece):
            break
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise DamagedError("too_large", f"{name}: a sound of more than {limit} samples")
    return np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)


def bounded(item: Item, *sides: int) -> None:
    """Refuse to make more values than one sound may have."""
    total = 1
    for side in sides:
        total *= max(1, side)
    if total > VALUE_LIMIT:
        raise DamagedError("too_large", f"{item.name}: would become {total} values, more than {VALUE_LIMIT}")
