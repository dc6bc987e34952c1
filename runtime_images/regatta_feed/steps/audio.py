"""Steps on sounds, with torchaudio's parameters, defaults and formulas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from regatta_feed.draws import Draws
from regatta_feed.errors import StepError
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind
from regatta_feed.steps.sounds import RATE_LIMIT, VALUE_LIMIT, Sound, Spectrum, bounded, sound

__all__ = ["FixedLength", "Log", "Mel", "Mono", "Resample", "Spectrogram"]

ZEROS: Final = 6
"""Zero crossings of the sinc on each side."""
ROLLOFF: Final = 0.99
TABLE_LIMIT: Final = 1 << 21


@dataclass(frozen=True, slots=True)
class Resample:
    """To another rate, by a sinc under a Hann window."""

    name: ClassVar = "resample"
    takes: ClassVar = Kind.AUDIO
    random: ClassVar = False
    rate: int

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.integer("rate", low=1, high=RATE_LIMIT))

    def gives(self, kind: Kind) -> Kind:
        return Kind.AUDIO

    def apply(self, item: Item, draws: Draws) -> None:
        before = sound(item)
        if before.rate != self.rate:
            length = -(-before.array.shape[1] * self.rate // before.rate)
            bounded(item, before.array.shape[0], length)
            before = Sound(resampled(before.array, before.rate, self.rate), self.rate)
        item.value = before


def resampled(samples: NDArray[np.float32], old: int, new: int) -> NDArray[np.float32]:
    """The samples at another rate."""
    common = math.gcd(old, new)
    old, new = old // common, new // common
    length = -(-samples.shape[1] * new // old)
    reach = math.ceil(ZEROS * old / (min(old, new) * ROLLOFF))
    taps = np.arange(-reach, reach + 2)
    table = _table(old, new, reach) if new * len(taps) <= TABLE_LIMIT else None
    padded = np.pad(samples, ((0, 0), (reach, reach + 2)))
    result = np.empty((samples.shape[0], length), np.float32)
    for start in range(0, length, 1 << 16):
        wanted = np.arange(start, min(length, start + (1 << 16)), dtype=np.int64)
        turns, phases = np.divmod(wanted, new)
        base = turns * old + phases * old // new
        weights = table[phases] if table is not None else _weights(phases, old, new, taps)
        total = np.zeros((samples.shape[0], len(wanted)), np.float32)
        for number in range(len(taps)):
            total += padded[:, np.minimum(base + number, padded.shape[1] - 1)] * weights[:, number]
        result[:, start : start + len(wanted)] = total
    return result


@lru_cache(maxsize=8)
def _table(old: int, new: int, reach: int) -> NDArray[np.float32]:
    return _weights(np.arange(new, dtype=np.int64), old, new, np.arange(-reach, reach + 2))


def _weights(phases: NDArray[np.int64], old: int, new: int, taps: NDArray[Any]) -> NDArray[np.float32]:
    """Of each tap around the sample at which a phase lies."""
    scale = min(old, new) * ROLLOFF / old
    base = phases * old // new
    times = (base[:, np.newaxis] + taps - (phases * old / new)[:, np.newaxis]) * scale
    times = np.clip(times, -ZEROS, ZEROS)
    window = np.cos(times * math.pi / ZEROS / 2) ** 2
    return (np.sinc(times) * window * scale).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Mono:
    """The mean of all channels."""

    name: ClassVar = "mono"
    takes: ClassVar = Kind.AUDIO
    random: ClassVar = False

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls()

    def gives(self, kind: Kind) -> Kind:
        return Kind.AUDIO

    def apply(self, item: Item, draws: Draws) -> None:
        before = sound(item)
        if before.array.shape[0] > 1:
            before = Sound(before.array.mean(0, keepdims=True, dtype=np.float32), before.rate)
        item.value = before


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """How strong each frequency is at each time; frames are centred, the ends mirrored."""

    name: ClassVar = "spectrogram"
    takes: ClassVar = Kind.AUDIO
    random: ClassVar = False
    size: int
    window: int
    hop: int
    power: int

    @classmethod
    def read(cls, params: Params) -> Self:
        size = params.integer("nFft", 400, low=2, high=1 << 16)
        window = params.integer("winLength", size, low=1, high=size)
        hop = params.integer("hopLength", max(1, window // 2), low=1, high=1 << 16)
        return cls(size, window, hop, params.integer("power", 2, low=1, high=2))

    def gives(self, kind: Kind) -> Kind:
        return Kind.SPECTRUM

    def apply(self, item: Item, draws: Draws) -> None:
        before = sound(item)
        bounded(item, before.array.shape[0], before.array.shape[1] // self.hop + 1, self.size)
        half = self.size // 2
        padded = np.pad(before.array, ((0, 0), (half, half)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=1)[:, :: self.hop]
        spectrum = np.abs(np.fft.rfft(frames * _hann(self.size, self.window), axis=2))
        found = spectrum * spectrum if self.power == 2 else spectrum
        item.value = Spectrum(np.ascontiguousarray(found.transpose(0, 2, 1), np.float32), before.rate)


@lru_cache(maxsize=8)
def _hann(size: int, window: int) -> NDArray[np.float32]:
    left = (size - window) // 2
    bell = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(window) / window)
    return np.pad(bell, (left, size - window - left)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Mel:
    """Frequencies to bands that are as far apart as they are heard (HTK's formula)."""

    name: ClassVar = "mel"
    takes: ClassVar = Kind.SPECTRUM
    random: ClassVar = False
    bands: int
    low: float
    high: float | None

    @classmethod
    def read(cls, params: Params) -> Self:
        bands = params.integer("nMels", 128, low=1, high=4096)
        low = params.number("fMin", 0.0, low=0, high=RATE_LIMIT)
        high = params.number("fMax", None, low=0, high=RATE_LIMIT)
        if high is not None and high <= low:
            raise params.fail("fMax", f"must be more than fMin, {low:g}")
        return cls(bands, low, high)

    def gives(self, kind: Kind) -> Kind:
        return Kind.SPECTRUM

    def apply(self, item: Item, draws: Draws) -> None:
        before = spectrum(item)
        high = before.rate // 2 if self.high is None else self.high
        if high <= self.low:
            raise StepError(f"{item.name}: mel begins at {self.low:g} Hz, and a rate of {before.rate} ends at {high}")
        bounded(item, before.array.shape[0], self.bands, before.array.shape[2])
        matrix = _bands(before.array.shape[1], before.rate, self.bands, self.low, float(high))
        item.value = Spectrum(np.matmul(matrix, before.array), before.rate)


@lru_cache(maxsize=8)
def _bands(bins: int, rate: int, bands: int, low: float, high: float) -> NDArray[np.float32]:
    frequencies = np.linspace(0, rate // 2, bins)
    ends = 2595.0 * np.log10(1.0 + np.array([low, high]) / 700.0)
    points = 700.0 * (10.0 ** (np.linspace(ends[0], ends[1], bands + 2) / 2595.0) - 1.0)
    widths = np.diff(points)
    slopes = points[np.newaxis] - frequencies[:, np.newaxis]
    down, up = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    return np.ascontiguousarray(np.maximum(0, np.minimum(down, up)).T, np.float32)


@dataclass(frozen=True, slots=True)
class Log:
    """The natural logarithm of what there is and a small number."""

    name: ClassVar = "log"
    takes: ClassVar = Kind.SPECTRUM
    random: ClassVar = False
    offset: float

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.number("offset", 1e-6, low=1e-12, high=1))

    def gives(self, kind: Kind) -> Kind:
        return Kind.SPECTRUM

    def apply(self, item: Item, draws: Draws) -> None:
        before = spectrum(item)
        item.value = Spectrum(np.log(before.array + np.float32(self.offset)), before.rate)


@dataclass(frozen=True, slots=True)
class FixedLength:
    """Samples of a sound, or times of a spectrogram: what is shorter ends with zeros, what is longer is cut."""

    name: ClassVar = "fixedLength"
    takes: ClassVar = Kind.AUDIO
    random: ClassVar = True
    length: int
    anywhere: bool

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.integer("length", low=1, high=VALUE_LIMIT), params.boolean("random", False))

    def gives(self, kind: Kind) -> Kind:
        return kind

    def apply(self, item: Item, draws: Draws) -> None:
        before = item.value if isinstance(item.value, Spectrum) else sound(item)
        array, missing = before.array, self.length - before.array.shape[-1]
        if missing > 0:
            bounded(item, *array.shape[:-1], self.length)
            array = np.pad(array, (*((0, 0) for _ in array.shape[:-1]), (0, missing)))
        elif missing < 0:
            start = draws.below(1 - missing) if self.anywhere else 0
            array = array[..., start : start + self.length]
        item.value = type(before)(array, before.rate)


def spectrum(item: Item) -> Spectrum:
    """The item's spectrogram."""
    if not isinstance(item.value, Spectrum):
        raise StepError(f"{item.name}: this step wants a spectrogram; put spectrogram before it")
    return item.value
