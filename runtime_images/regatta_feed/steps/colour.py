"""colorJitter, with torchvision v2's parameters, distributions and arithmetic: bytes in, bytes out after each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import cv2
import numpy as np

from regatta_feed.draws import Draws
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind
from regatta_feed.steps.decode import Image, pixels

__all__ = ["ColorJitter", "brightened", "contrasted", "hue_turned", "saturated"]

GREY: Final = (0.2989, 0.587, 0.114)
_LEVELS: Final = np.arange(256, dtype=np.float64)

_BELOW_FULL: Final = float(np.nextafter(np.float32(360), np.float32(0)))
_CUT: Final = -0.499  # torchvision cuts fractions off, OpenCV rounds

Range = tuple[float, float]


def _table(image: Image, levels: np.ndarray) -> Image:  # type: ignore[type-arg]
    table = np.clip(levels, 0, 255).astype(np.uint8)  # torchvision cuts the fraction off, too
    return _shaped(cv2.LUT(image, table), image)


def _shaped(result: Image, like: Image) -> Image:
    return result.reshape(like.shape)


def brightened(image: Image, factor: float) -> Image:
    """Every pixel times the factor."""
    return _table(image, _LEVELS * factor)


def contrasted(image: Image, factor: float) -> Image:
    """The distance of every pixel from the image's mean grey, times the factor."""
    mean = cv2.mean(_grey(image))[0]
    return _table(image, _LEVELS * factor + (1 - factor) * mean)


def saturated(image: Image, factor: float) -> Image:
    """The distance of every pixel from its grey, times the factor."""
    if image.shape[2] == 1:
        return image
    rows = np.array([GREY] * 3) * (1 - factor) + np.eye(3) * factor
    return cv2.transform(image, np.column_stack((rows, [_CUT] * 3)))


def hue_turned(image: Image, turn: float) -> Image:
    """The hue moved on by a part of the full circle."""
    if image.shape[2] == 1 or turn == 0:
        return image
    hue = cv2.cvtColor(np.multiply(image, np.float32(1 / 255)), cv2.COLOR_RGB2HSV)
    degrees, *others = cv2.split(hue)
    degrees = cv2.add(degrees, (turn % 1.0) * 360)
    _, around = cv2.threshold(degrees, _BELOW_FULL, 360, cv2.THRESH_BINARY)  # OpenCV is slow beyond the circle
    turned = cv2.cvtColor(cv2.merge((cv2.subtract(degrees, around), *others)), cv2.COLOR_HSV2RGB)
    return cv2.convertScaleAbs(turned, alpha=255.999, beta=_CUT)


def _grey(image: Image) -> Image:
    if image.shape[2] == 1:
        return image
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Brightness, contrast, saturation and hue changed at random, in random order."""

    name: ClassVar = "colorJitter"
    takes: ClassVar = Kind.IMAGE
    random: ClassVar = True
    brightness: Range | None
    contrast: Range | None
    saturation: Range | None
    hue: Range | None

    @classmethod
    def read(cls, params: Params) -> Self:
        one = {
            name: _range(params, name, centre=1.0, low=0.0, high=1e3)
            for name in ("brightness", "contrast", "saturation")
        }
        return cls(**one, hue=_range(params, "hue", centre=0.0, low=-0.5, high=0.5))

    def gives(self, kind: Kind) -> Kind:
        return Kind.IMAGE

    def apply(self, item: Item, draws: Draws) -> None:
        image = pixels(item.value)
        order = draws.permutation(4)
        parts = (
            (self.brightness, brightened),
            (self.contrast, contrasted),
            (self.saturation, saturated),
            (self.hue, hue_turned),
        )
        amounts = [bounds and draws.uniform(*bounds) for bounds, _ in parts]
        for number in order:
            amount = amounts[number]
            if amount is not None:
                image = parts[number][1](image, amount)
        item.value = image


def _range(params: Params, name: str, *, centre: float, low: float, high: float) -> Range | None:
    """A number x means centre ± x, a pair its bounds; nothing where it would change nothing."""
    value = params.value(name, 0)
    if isinstance(value, list | tuple):
        first, last = Params({name: value}, params.path).numbers(name, count=(2,), low=low, high=high)
        if first > last:
            raise params.fail(name, f"must be [smallest, largest], not {[first, last]}")
    else:
        most = Params({name: value}, params.path).number(name, low=0, high=high - centre if centre else high)
        first, last = max(low, centre - most), centre + most
    return None if first == last == centre else (first, last)
