"""Steps on the numbers themselves: normalize, scale, cast; the layout; and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, StepError
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind
from regatta_feed.steps.decode import pixels
from regatta_feed.steps.sounds import Sound, Spectrum

__all__ = ["DTYPES", "Affine", "Cast", "ClassIndex", "Layout", "Normalize", "OneHot", "Scale", "numbers", "one_hot"]

DTYPES: Final = ("float32", "float16", "float64", "uint8", "int32", "int64")


@dataclass(slots=True)
class Affine:
    """Pixels that become `pixels * factor + offset`: computed once, while they are written to where they belong."""

    image: NDArray[np.uint8]
    factor: NDArray[np.float32]
    offset: NDArray[np.float32]

    def then(self, factor: Any, offset: Any) -> Affine:
        """Another such change after this one."""
        return Affine(self.image, self.factor * factor, self.offset * factor + offset)


def numbers(value: Any) -> NDArray[Any]:
    """The array that a value stands for."""
    if isinstance(value, Affine):
        return value.image * value.factor + value.offset
    if isinstance(value, Sound | Spectrum):
        return value.array
    return value if isinstance(value, np.ndarray) else pixels(value)


def _affine(value: Any) -> Affine | NDArray[np.floating]:
    """Bytes as parts of 1, floating point numbers as they are."""
    if isinstance(value, Affine):
        return value
    if isinstance(value, Sound | Spectrum):
        return value.array
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value
    image = pixels(value)
    return Affine(image, np.full(image.shape[2], 1 / 255, np.float32), np.zeros(image.shape[2], np.float32))


@dataclass(frozen=True, slots=True)
class Normalize:
    """Subtract the mean and divide by the deviation of each channel; bytes are scaled to 0..1 first."""

    name: ClassVar = "normalize"
    takes: ClassVar = Kind.NUMBERS
    random: ClassVar = False
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, params: Params) -> Self:
        mean = params.numbers("mean", count=(1, 3))
        return cls(mean, params.numbers("std", count=(len(mean),), low=1e-9))

    def gives(self, kind: Kind) -> Kind:
        return Kind.NUMBERS

    def apply(self, item: Item, draws: Draws) -> None:
        mean, std = np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64)
        value = _affine(item.value)
        if len(mean) not in (1, _channels(value)):
            raise StepError(f"normalize has {len(mean)} means, and the image {_channels(value)} channels")
        factor, offset = (1 / std).astype(np.float32), (-mean / std).astype(np.float32)
        item.value = value.then(factor, offset) if isinstance(value, Affine) else value * factor + offset


def _channels(value: Affine | NDArray[np.floating]) -> int:
    shape = value.image.shape if isinstance(value, Affine) else value.shape
    return int(shape[-1])


@dataclass(frozen=True, slots=True)
class Scale:
    """Bytes to floating point numbers of 0..1."""

    name: ClassVar = "scale"
    takes: ClassVar = Kind.NUMBERS
    random: ClassVar = False

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls()

    def gives(self, kind: Kind) -> Kind:
        return Kind.NUMBERS

    def apply(self, item: Item, draws: Draws) -> None:
        item.value = _affine(item.value)


@dataclass(frozen=True, slots=True)
class Cast:
    """The type of the numbers in the batch. Fractions are cut off; what does not fit becomes the nearest that does."""

    name: ClassVar = "cast"
    takes: ClassVar = Kind.NUMBERS
    random: ClassVar = False
    dtype: str

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.choice("dtype", DTYPES))

    def gives(self, kind: Kind) -> Kind:
        return Kind.ANY if self.dtype.startswith(("u", "i")) else Kind.NUMBERS

    def apply(self, item: Item, draws: Draws) -> None:
        value = numbers(item.value)
        dtype = np.dtype(self.dtype)
        if dtype.kind in "ui" and value.dtype.kind == "f":
            ends = np.iinfo(dtype)
            value = np.clip(value, ends.min, ends.max)
        item.value = value.astype(dtype)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an image's channels are in the batch. Without it: NHWC for TensorFlow, NCHW for everyone else."""

    name: ClassVar = "layout"
    takes: ClassVar = None
    random: ClassVar = False
    order: str

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.choice("order", ("NCHW", "NHWC")))

    def gives(self, kind: Kind) -> Kind:
        return kind

    def apply(self, item: Item, draws: Draws) -> None:
        """Done while the batch is written."""


@dataclass(frozen=True, slots=True)
class ClassIndex:
    """The label as int64, which it is without this step too."""

    name: ClassVar = "classIndex"
    takes: ClassVar = None
    random: ClassVar = False

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls()

    def gives(self, kind: Kind) -> Kind:
        return kind

    def apply(self, item: Item, draws: Draws) -> None:
        if item.label is None:
            raise StepError("classIndex: the source has no labels; name their column with source.label")
        if int(item.label) != item.label:
            raise DamagedError("label", f"{item.name}: its label {item.label} is no whole number")
        item.label = int(item.label)


@dataclass(frozen=True, slots=True)
class OneHot:
    """The label as a vector of float32 with one 1 in it."""

    name: ClassVar = "oneHot"
    takes: ClassVar = None
    random: ClassVar = False
    classes: int

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.integer("classes", low=2, high=1_000_000))

    def gives(self, kind: Kind) -> Kind:
        return kind

    def apply(self, item: Item, draws: Draws) -> None:
        one_hot(item, self.classes, self.name)


def one_hot(item: Item, classes: int, step: str) -> None:
    """Make the item's label a vector of float32 with one 1 in it."""
    if item.label is None:
        raise StepError(f"{step}: the source has no labels; name their column with source.label")
    if int(item.label) != item.label or not 0 <= item.label < classes:
        raise DamagedError("label", f"{item.name}: its label {item.label} is not one of {classes} classes")
    vector = np.zeros(classes, np.float32)
    vector[int(item.label)] = 1
    item.label = vector
