"""How much memory a feed's batches take, read off the pipeline: what a pod must ask for before any sample was seen.

It follows the steps as the feed applies them, and says nothing where only the data or the user's own code decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from regatta.api.preprocessing import Preprocessing
from regatta.api.quantity import parse_quantity

__all__ = ["SLOTS", "buffer_bytes"]

SLOTS: Final = 4
"""Batches in memory for each training process."""
MARGIN: Final = 1 << 20
"""Of the whole volume: its files' own pages, the socket."""
ROUNDING: Final = 4096 + 3 * 64
"""Of a slot: it is whole pages, begins with a header, and its arrays lie on cache lines."""
LARGEST: Final = 16_384
"""Of a size and of a number of classes; the feed refuses more."""
ITEM_BYTES: Final = {"uint8": 1, "float16": 2, "int32": 4, "float32": 4, "int64": 8, "float64": 8}
KEEP: Final = frozenset(
    {"randomHorizontalFlip", "randomVerticalFlip", "randomRotation", "colorJitter", "layout", "classIndex"}
)
TOKENS: Final = frozenset({"pack", "pad"})
CROPS: Final = frozenset({"centerCrop", "randomResizedCrop"})
SOFT: Final = frozenset({"oneHot", "mixUp", "cutMix"})
"""Steps that make a vector of the label, one number for each class."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """What is known of a sample between two steps."""

    size: tuple[int, int] | None = None
    """Height and width."""
    channels: int | None = None
    item: int = 1
    """Bytes of one number."""
    label: int = 8
    """Bytes of the label."""

    @property
    def bytes(self) -> int | None:
        if self.size is None or self.channels is None:
            return None
        return math.prod(self.size) * self.channels * self.item + self.label


def buffer_bytes(preprocessing: Preprocessing, *, processes: int) -> int | None:
    """Bytes for the batches of one pod's training processes; None where neither the user nor the pipeline says it."""
    if preprocessing.buffer_memory is not None:
        return max(MARGIN, int(parse_quantity(preprocessing.buffer_memory)))
    sample = _Sample()
    for step in preprocessing.pipeline:
        name, parameters = next(iter(step.items()), ("", None))
        sample = _after(sample, name, parameters if isinstance(parameters, Mapping) else {})
    size = sample.bytes
    if size is None:
        return None
    # What is left of an epoch may make one batch a sample larger.
    largest = preprocessing.batch_size + (not preprocessing.drop_last)
    return processes * SLOTS * (largest * size + ROUNDING) + MARGIN


def _after(sample: _Sample, name: str, parameters: Mapping[str, Any]) -> _Sample:
    if name in KEEP:
        return sample
    if name == "decodeImage":
        channels = parameters.get("channels", 3)
        return replace(sample, size=None, channels=channels if channels in (1, 3) else None, item=1)
    if name in CROPS or name == "resize":
        return replace(sample, size=_size(parameters.get("size"), one=name in CROPS))
    if name in {"normalize", "scale"}:
        return replace(sample, item=4)
    if name == "cast":
        return replace(sample, item=ITEM_BYTES.get(str(parameters.get("dtype")), 8))
    if name in SOFT:
        classes = parameters.get("classes")
        # Mixing follows oneHot, or makes the vector of a class index itself.
        return replace(sample, label=max(sample.label, 4 * classes if isinstance(classes, int) else 0))
    length = parameters.get("length")
    if name in TOKENS and isinstance(length, int) and length > 0:
        # Numbers and their mask; 8 bytes each are more than they take.
        return replace(sample, size=(length, 2), channels=1, item=8)
    return replace(sample, size=None, channels=None)


def _size(value: Any, *, one: bool) -> tuple[int, int] | None:
    """Height and width; a single number is both for a crop, and only the shorter side for resize."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if _whole(value):
        return (value, value) if one else None
    if isinstance(value, list) and len(value) == 2 and all(map(_whole, value)):
        return value[0], value[1]
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST
