"""Steps that move pixels: resize, crops, flips, rotation. Parameters and distributions are those of torchvision v2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import cv2
import numpy as np

from regatta_feed.draws import Draws
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind
from regatta_feed.steps.decode import Image, halved, pixels, size_of
from regatta_feed.steps.resizing import resized, with_channels

__all__ = [
    "CenterCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "rotated",
]

TRIES: Final = 10
"""Of a random crop that fits into the image; torchvision's number."""


class _OfImages:
    """What the steps of this file have in common."""

    takes: ClassVar = Kind.IMAGE
    random: ClassVar = True

    def gives(self, kind: Kind) -> Kind:
        return Kind.IMAGE


@dataclass(frozen=True, slots=True)
class Resize(_OfImages):
    """To a size; one number is the shorter side, and the shape is kept."""

    name: ClassVar = "resize"
    random: ClassVar = False
    size: tuple[int, ...]
    antialias: bool

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.size("size"), params.boolean("antialias", True))

    def apply(self, item: Item, draws: Draws) -> None:
        height, width = self.target(*size_of(item.value))
        full_height, full_width = size_of(item.value)
        image = pixels(item.value, shrink=min(full_height / height, full_width / width))
        item.value = resized(image, height=height, width=width, antialias=self.antialias)

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result."""
        if len(self.size) == 2:
            return self.size[0], self.size[1]
        shorter = self.size[0]
        if height <= width:
            return shorter, max(1, int(shorter * width / height))
        return max(1, int(shorter * height / width)), shorter


@dataclass(frozen=True, slots=True)
class CenterCrop(_OfImages):
    """The middle; where the image is too small, black is put around it."""

    name: ClassVar = "centerCrop"
    random: ClassVar = False
    height: int
    width: int

    @classmethod
    def read(cls, params: Params) -> Self:
        size = params.size("size")
        return cls(size[0], size[-1])

    def apply(self, item: Item, draws: Draws) -> None:
        image = pixels(item.value)
        above, left = max(0, self.height - image.shape[0]), max(0, self.width - image.shape[1])
        if above or left:
            sides = ((above // 2, (above + 1) // 2), (left // 2, (left + 1) // 2), (0, 0))
            image = np.pad(image, sides)
        top = round((image.shape[0] - self.height) / 2.0)
        start = round((image.shape[1] - self.width) / 2.0)
        item.value = image[top : top + self.height, start : start + self.width]


@dataclass(frozen=True, slots=True)
class RandomResizedCrop(_OfImages):
    """A part of random area and shape, brought to a size."""

    name: ClassVar = "randomResizedCrop"
    height: int
    width: int
    scale: tuple[float, ...]
    ratio: tuple[float, ...]
    antialias: bool

    @classmethod
    def read(cls, params: Params) -> Self:
        size = params.size("size")
        scale = params.numbers("scale", (0.08, 1.0), count=(2,), low=1e-6, high=1e6)
        ratio = params.numbers("ratio", (3 / 4, 4 / 3), count=(2,), low=1e-3, high=1e3)
        for name, bounds in (("scale", scale), ("ratio", ratio)):
            if bounds[0] > bounds[1]:
                raise params.fail(name, f"must be [smallest, largest], not {list(bounds)}")
        return cls(size[0], size[-1], scale, ratio, params.boolean("antialias", True))

    def apply(self, item: Item, draws: Draws) -> None:
        full_height, full_width = size_of(item.value)
        top, left, height, width = self.box(full_height, full_width, draws)
        shrink = min(height / self.height, width / self.width)
        by = halved(item.value, shrink)
        image = pixels(item.value, shrink=shrink, bottom=top + height)
        if by > 1:  # it is decoded at a fraction of its size, and so is the box
            along, across = -(-full_height // by) / full_height, -(-full_width // by) / full_width
            bottom, right = round((top + height) * along), round((left + width) * across)
            top, left = round(top * along), round(left * across)
            height, width = max(1, bottom - top), max(1, right - left)
        part = image[top : top + height, left : left + width]
        item.value = resized(part, height=self.height, width=self.width, antialias=self.antialias)

    def box(self, height: int, width: int, draws: Draws) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part."""
        for _ in range(TRIES):
            area = height * width * draws.uniform(*self.scale)
            ratio = draws.log_uniform(*self.ratio)
            part_width, part_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < part_width <= width and 0 < part_height <= height:
                top, left = draws.below(height - part_height + 1), draws.below(width - part_width + 1)
                return top, left, part_height, part_width
        part_height, part_width = height, width
        if width / height < self.ratio[0]:
            part_height = min(height, max(1, round(width / self.ratio[0])))
        elif width / height > self.ratio[1]:
            part_width = min(width, max(1, round(height * self.ratio[1])))
        return (height - part_height) // 2, (width - part_width) // 2, part_height, part_width


@dataclass(frozen=True, slots=True)
class RandomHorizontalFlip(_OfImages):
    """Left and right change places, with a probability."""

    name: ClassVar = "randomHorizontalFlip"
    probability: float
    axis: ClassVar = 1

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.number("p", 0.5, low=0, high=1))

    def apply(self, item: Item, draws: Draws) -> None:
        if draws.uniform() < self.probability:
            item.value = with_channels(cv2.flip(pixels(item.value), self.axis))


@dataclass(frozen=True, slots=True)
class RandomVerticalFlip(RandomHorizontalFlip):
    """Top and bottom change places, with a probability."""

    name: ClassVar = "randomVerticalFlip"
    axis: ClassVar = 0


@dataclass(frozen=True, slots=True)
class RandomRotation(_OfImages):
    """About the middle, counter-clockwise by a random angle; the corners become black."""

    name: ClassVar = "randomRotation"
    low: float
    high: float
    interpolation: int

    @classmethod
    def read(cls, params: Params) -> Self:
        low, high = _around_zero(params, "degrees", limit=360)
        how = params.choice("interpolation", ("Nearest", "Bilinear"), "Nearest")
        return cls(low, high, cv2.INTER_NEAREST if how == "Nearest" else cv2.INTER_LINEAR)

    def apply(self, item: Item, draws: Draws) -> None:
        image = pixels(item.value)
        item.value = rotated(image, draws.uniform(self.low, self.high), self.interpolation)


def rotated(image: Image, degrees: float, interpolation: int) -> Image:
    """The image turned counter-clockwise."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return with_channels(cv2.warpAffine(image, matrix, (width, height), flags=interpolation))


def _around_zero(params: Params, name: str, *, limit: float) -> tuple[float, float]:
    value = params.value(name)
    if isinstance(value, list | tuple):
        low, high = Params({name: value}, params.path).numbers(name, count=(2,), low=-limit, high=limit)
        if low > high:
            raise params.fail(name, f"must be [smallest, largest], not {[low, high]}")
        return low, high
    most = Params({name: value}, params.path).number(name, low=0, high=limit)
    return -most, most
