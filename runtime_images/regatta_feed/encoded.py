"""`cache: Encoded`, and what is read ahead: samples as the source stores them, in files of this machine.

One file for each sample in a folder of a limited size, and an index in memory that all workers see. What was used
longest ago goes first. A worker may be killed at any place: a file appears under its name when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from regatta_feed.errors import FeedError
from regatta_feed.sources.base import Record

__all__ = ["EncodedCache"]

_HEAD: Final = struct.Struct("<8sQQqd")  # magic, sample, bytes, kind of label, label
_MAGIC: Final = b"REGSAMP1"
_NONE, _WHOLE, _FRACTION = 1, 2, 3
FOLDERS: Final = 256
"""Over which the files are spread: one folder of a million is slow on some file systems."""
LEAVE: Final = 0.95
"""Of the limit that is left when there was no more room, so that room is made for many at a time."""
READ_AHEAD: Final = 256 << 20
"""Bytes of samples that are read before they are needed, at most."""


class EncodedCache:
    """Records by sample; made before the workers are forked."""

    def __init__(self, *, samples: int, folder: Path, limit: int, digest: str, keep: bool) -> None:
        self.worker = 0
        """Number of this process among the workers, from 1 on; of no two that live the same."""
        self.limit = limit
        self.room = min(limit // 2, READ_AHEAD)
        """Bytes that may be read ahead."""
        self._keep = keep
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = folder / f"encoded-{digest}" if keep else Path(tempfile.mkdtemp(dir=folder))
            for number in range(FOLDERS):
                (self._folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)
            self._lock_file = self._folder / "lock"
            self._lock_file.touch()
        except OSError as error:
            raise FeedError(f"{folder}: the cache cannot be made: {error.strerror}") from error
        count = max(1, samples)
        self._sizes = np.frombuffer(mmap.mmap(-1, count * 8), np.int64)  # 0: not there
        self._used = np.frombuffer(mmap.mmap(-1, count * 8), np.int64)
        self._claims = np.frombuffer(mmap.mmap(-1, count * 2), np.uint16)
        self._total = np.frombuffer(mmap.mmap(-1, 8), np.int64)
        self._threads = threading.Lock()
        self._lock: tuple[int, int] = (0, -1)
        if keep:
            self._adopt(samples)

    def has(self, sample: int) -> bool:
        """Whether a sample is kept."""
        return bool(self._sizes[sample])

    def get(self, sample: int) -> Record | None:
        """The record of a sample, if it is kept."""
        if not self._sizes[sample]:
            return None
        try:
            found = _unpacked(sample, self._path(sample).read_bytes())
        except OSError:
            found = None
        if found is not None:
            self._used[sample] = time.monotonic_ns()
            return found
        with self._locked():  # it went to make room, or is not what was written
            self._total[0] -= self._sizes[sample]
            self._sizes[sample] = 0
        return None

    def put(self, sample: int, record: Record) -> None:
        """Keep a record of bytes; what was used longest ago makes room for it."""
        data, label = record
        if not isinstance(data, bytes) or self._sizes[sample]:
            return
        kind = _NONE if label is None else _WHOLE if isinstance(label, int) else _FRACTION
        if (kind == _WHOLE and abs(label) >= 1 << 53) or _HEAD.size + len(data) > self.limit // 8:
            return
        head = _HEAD.pack(_MAGIC, sample, len(data), kind, 0.0 if label is None else float(label))
        size = len(head) + len(data)
        part = self._folder / f"part-{self.worker}-{threading.get_native_id()}"
        self._reserve(size)
        try:
            with part.open("wb") as file:
                file.write(head)
                file.write(data)
            part.replace(self._path(sample))
        except OSError:  # the disk is full: it is read from the source again
            part.unlink(missing_ok=True)
            with self._locked():
                self._total[0] -= size
            return
        with self._locked():
            if self._sizes[sample]:  # two have read it at the same time
                self._total[0] -= size
                return
            self._used[sample] = time.monotonic_ns()
            self._sizes[sample] = size

    def claim(self, sample: int) -> bool:
        """Say that this process reads a sample from the source now; False where another one does."""
        holder = int(self._claims[sample])
        if holder not in (0, self.worker):
            return False
        self._claims[sample] = self.worker
        return True

    def claimed(self, sample: int) -> bool:
        """Whether another process reads the sample from the source."""
        return int(self._claims[sample]) not in (0, self.worker)

    def unclaim(self, sample: int) -> None:
        """It is read, or cannot be."""
        self._claims[sample] = 0

    def forget(self, worker: int) -> None:
        """A worker is gone, and what it claimed nobody reads."""
        self._claims[self._claims == worker] = 0

    @property
    def used(self) -> int:
        """Bytes that are kept."""
        return int(self._total[0])

    def close(self) -> None:
        """Take the files away, unless they are for the next feed."""
        if not self._keep:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, sample: int) -> Path:
        return self._folder / f"{sample % FOLDERS:02x}" / str(sample)

    def _reserve(self, size: int) -> None:
        """Count the bytes before they are written, so that many that write at once keep to the limit, too."""
        with self._locked():
            if self._total[0] + size > self.limit:
                self._evict(int(self._total[0]) + size - int(self.limit * LEAVE))
            self._total[0] += size

    def _evict(self, excess: int) -> None:
        """Take away what was used longest ago, so many bytes of it; under the lock."""
        there = np.flatnonzero(self._sizes)
        order = there[np.argsort(self._used[there], kind="stable")]
        gone = order[: int(np.searchsorted(np.cumsum(self._sizes[order]), excess)) + 1]
        for sample in gone.tolist():
            self._total[0] -= self._sizes[sample]
            self._sizes[sample] = 0
            with contextlib.suppress(OSError):
                self._path(sample).unlink()

    def _adopt(self, samples: int) -> None:
        """What an earlier feed over the same samples has left."""
        for folder in self._folder.iterdir():
            if not folder.is_dir():
                if folder.name.startswith("part-"):
                    folder.unlink(missing_ok=True)
                continue
            for entry in os.scandir(folder):
                sample = int(entry.name) if entry.name.isdigit() else samples
                if sample < samples:
                    status = entry.stat()
                    self._sizes[sample], self._used[sample] = status.st_size, 0
        self._total[0] = self._sizes.sum()
        self._reserve(0)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One thread of one process at a time; the system opens the lock of a process that is killed."""
        with self._threads:
            if self._lock[0] != os.getpid():
                self._lock = (os.getpid(), os.open(self._lock_file, os.O_RDWR | os.O_CLOEXEC))
            fcntl.lockf(self._lock[1], fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._lock[1], fcntl.LOCK_UN)


def _unpacked(sample: int, data: bytes) -> Record | None:
    if len(data) < _HEAD.size:
        return None
    magic, whose, size, kind, label = _HEAD.unpack_from(data)
    if magic != _MAGIC or whose != sample or size != len(data) - _HEAD.size:
        return None
    value: Any = None if kind == _NONE else int(label) if kind == _WHOLE else label
    return Record(data[_HEAD.size :], value)
