"""mixUp and cutMix: each sample of a batch with the one before it, as torchvision v2 does.

What is drawn belongs to the batch, not to a sample. Nothing here waits for other samples: whoever writes a part of a
batch makes the one sample before it once more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regatta_feed.draws import Draws
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind
from regatta_feed.steps.values import one_hot

__all__ = ["Blend", "CutMix", "MixUp"]

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Blend:
    """How much of itself a sample of a batch keeps, and where the rest comes from."""

    weight: float
    box: Box | None
    """Top, left, bottom and right of what comes from the sample before; none mixes all values."""

    def into(self, out: NDArray[Any], own: NDArray[Any], before: NDArray[Any], *, channels_first: bool) -> None:
        """Write the mixture of two samples."""
        if self.box is None:
            np.multiply(own, own.dtype.type(self.weight), out=out)
            out += before * own.dtype.type(1 - self.weight)
            return
        top, left, bottom, right = self.box
        np.copyto(out, own)
        place = (
            (..., slice(top, bottom), slice(left, right))
            if channels_first
            else (slice(top, bottom), slice(left, right))
        )
        out[place] = before[place]

    def label(self, own: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
        """The mixture of their labels."""
        return own * np.float32(self.weight) + before * np.float32(1 - self.weight)


class _Mixing:
    """What both steps have in common."""

    takes: ClassVar = Kind.NUMBERS
    random: ClassVar = True
    classes: int | None

    def gives(self, kind: Kind) -> Kind:
        return kind

    def apply(self, item: Item, draws: Draws) -> None:
        """Of a single sample: its label must be such that it can be mixed."""
        if self.classes is not None and not isinstance(item.label, np.ndarray):
            one_hot(item, self.classes, self.name)  # type: ignore[attr-defined]


def _read(params: Params) -> tuple[float, int | None]:
    return (
        params.number("alpha", 1.0, low=0.01, high=100),
        params.integer("classes", None, low=2, high=1_000_000),
    )


@dataclass(frozen=True, slots=True)
class MixUp(_Mixing):
    """The weighted mean of two samples."""

    name: ClassVar = "mixUp"
    alpha: float
    classes: int | None

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(*_read(params))

    def blend(self, draws: Draws, height: int, width: int) -> Blend:
        return Blend(draws.beta(self.alpha), None)


@dataclass(frozen=True, slots=True)
class CutMix(_Mixing):
    """A box of one image in the other."""

    name: ClassVar = "cutMix"
    alpha: float
    classes: int | None

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(*_read(params))

    def blend(self, draws: Draws, height: int, width: int) -> Blend:
        half = 0.5 * math.sqrt(1 - draws.beta(self.alpha))
        x, y = draws.below(width), draws.below(height)
        across, along = int(half * width), int(half * height)
        top, left, bottom, right = max(0, y - along), max(0, x - across), min(height, y + along), min(width, x + across)
        return Blend(1 - (bottom - top) * (right - left) / (width * height), (top, left, bottom, right))
