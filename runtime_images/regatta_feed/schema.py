"""What a batch consists of, and how a sample is written to its place in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from regatta_feed.errors import StepError
from regatta_feed.steps.base import Item
from regatta_feed.steps.values import Affine, numbers

__all__ = ["Field", "Schema", "image_like", "stored", "write"]


@dataclass(frozen=True, slots=True)
class Field:
    """One array of a batch, without its first dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a batch consists of."""

    fields: tuple[Field, ...]
    layout: str | None
    """NCHW or NHWC where the data are images; None where there is nothing to choose."""
    fixed: bool
    """Whether the user chose the layout."""

    def laid_out(self, layout: str | None) -> Schema:
        """The schema for a consumer that wishes another layout, unless the user chose one."""
        if layout is None or self.layout is None or self.fixed or layout == self.layout:
            return self
        first = self.fields[0]
        shape = first.shape[-1:] + first.shape[:-1] if layout == "NCHW" else first.shape[1:] + first.shape[:1]
        return Schema((Field(first.name, first.dtype, shape), *self.fields[1:]), layout, self.fixed)


def image_like(value: NDArray[Any]) -> bool:
    """Whether an array is an image: three dimensions, the last of them 1 or 3 channels."""
    return value.ndim == 3 and value.shape[2] in (1, 3)


def write(item: Item, out: NDArray[Any], schema: Schema) -> None:
    """Put a sample into its place, in the batch's layout and type."""
    value = item.value
    first_channels = schema.layout == "NCHW"
    if isinstance(value, Affine) and out.dtype == np.float32 and value.image.ndim == 3:
        height, width, channels = value.image.shape
        if out.shape == ((channels, height, width) if first_channels else (height, width, channels)):
            (_planes if first_channels else _pixels)(value, out)
            return
    array = numbers(value)
    if first_channels:
        array = array.transpose(2, 0, 1) if array.ndim == 3 else array
    if array.shape != out.shape or array.dtype != out.dtype:
        raise StepError(
            f"{item.name} ends as {array.dtype} of shape {array.shape}, the first sample as {out.dtype} of shape "
            f"{out.shape}; a batch needs one shape: end with resize: {{size: [height, width]}} or a crop, and where "
            "there are sounds with fixedLength"
        )
    np.copyto(out, array)


def _planes(value: Affine, out: NDArray[np.float32]) -> None:
    planes = cv2.split(value.image)
    for number, plane in enumerate(planes):
        factor, offset = float(value.factor[number]), float(value.offset[number])
        cv2.addWeighted(plane, factor, plane, 0.0, offset, dst=out[number], dtype=cv2.CV_32F)


def _pixels(value: Affine, out: NDArray[np.float32]) -> None:
    levels = np.arange(256, dtype=np.float32)[:, np.newaxis] * value.factor + value.offset
    table = levels.astype(np.float32)[np.newaxis]
    cv2.LUT(value.image, table, dst=out)


def stored(label: Any) -> NDArray[Any]:
    """A label as a batch holds it."""
    if isinstance(label, np.ndarray):
        return label
    return np.asarray(label, np.int64 if isinstance(label, int) else np.float32)
