"""`cache: Decoded`: what the steps before the first random one make of a sample, kept for the later epochs.

One file without a name, which the system takes back when the feed ends, and an index in memory that all workers see.
Each worker has a stretch of the file to itself, so none waits for another; when it is full, the samples that come
later are decoded anew in every epoch.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from regatta_feed.draws import fold
from regatta_feed.errors import FeedError

__all__ = ["DecodedCache"]

_ENTRY: Final = np.dtype([("offset", "<i8"), ("shape", "<i4", 3), ("kind", "<i4"), ("label", "<f8"), ("check", "<u8")])
_NONE, _WHOLE, _FRACTION = 1, 2, 3  # what kind of label; an entry of kind 0 is empty


class DecodedCache:
    """Images by sample; made before the workers are forked."""

    def __init__(self, *, samples: int, folder: Path, limit: int, writers: int) -> None:
        self.writer: int | None = None
        """The stretch that this process writes to; a process without one only reads."""
        self._stretch = limit // writers // mmap.PAGESIZE * mmap.PAGESIZE
        if self._stretch == 0:
            raise FeedError(f"a cache of {limit} bytes is too small for {writers} processes")
        size = self._stretch * writers
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.truncate(size)  # sparse: it takes what is written
                self._file = os.dup(file.fileno())
            self._map = mmap.mmap(self._file, size, prot=mmap.PROT_READ)
        except OSError as error:
            raise FeedError(f"{folder}: the cache cannot be made: {error.strerror}") from error
        self._index = np.frombuffer(mmap.mmap(-1, max(1, samples) * _ENTRY.itemsize), _ENTRY)
        self._used = np.frombuffer(mmap.mmap(-1, writers * 8), np.int64)

    def has(self, sample: int) -> bool:
        """Whether a sample is kept."""
        return bool(self._index["kind"][sample])

    def get(self, sample: int) -> tuple[NDArray[np.uint8], Any] | None:
        """The image and label of a sample, if they are kept; the image is the cache's own memory."""
        entry = self._index[sample]
        kind = int(entry["kind"])
        if kind == 0:
            return None
        offset, shape, label = int(entry["offset"]), tuple(entry["shape"].tolist()), float(entry["label"])
        if int(entry["check"]) != _check(sample, offset, shape, kind, label):
            return None  # another worker is just writing it
        image = np.frombuffer(self._map, np.uint8, count=math.prod(shape), offset=offset).reshape(shape)
        return image, None if kind == _NONE else int(label) if kind == _WHOLE else label

    def put(self, sample: int, image: Any, label: Any) -> None:
        """Keep a sample, where there is room for it."""
        if self.writer is None or not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
            return
        kind = _NONE if label is None else _WHOLE if isinstance(label, int) else _FRACTION
        if kind == _WHOLE and abs(label) >= 1 << 53:
            return
        start = int(self._used[self.writer])
        if start + image.nbytes > self._stretch:
            return
        offset = self.writer * self._stretch + start
        try:
            written = os.pwrite(self._file, np.ascontiguousarray(image).data, offset)
        except OSError:
            written = 0
        if written != image.nbytes:
            self._used[self.writer] = self._stretch  # the disk is full: nothing more from here
            return
        self._used[self.writer] = start + image.nbytes
        value = 0.0 if label is None else float(label)
        check = _check(sample, offset, image.shape, kind, value)
        self._index[sample] = (offset, image.shape, kind, value, check)

    @property
    def used(self) -> int:
        """Bytes that are kept."""
        return int(self._used.sum())


def _check(sample: int, offset: int, shape: tuple[int, ...], kind: int, label: float) -> int:
    """Of an entry: one that is read while it is written must not be taken for whole."""
    return fold(sample, offset, *shape, kind, int(np.float64(label).view(np.uint64)))
