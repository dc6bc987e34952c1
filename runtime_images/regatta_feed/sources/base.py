"""What every source is to the rest of the feed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from regatta_feed.errors import DamagedError

__all__ = ["RECORD_LIMIT", "Notice", "Opener", "Record", "Source", "digest", "read_file"]

RECORD_LIMIT = 1 << 30
"""Bytes of one sample; more is taken for damage, so that a length that lies cannot fill the memory."""


class Record(NamedTuple):
    """A sample as it is stored."""

    data: Any
    """Bytes, or an array where the format stores numbers."""
    label: Any
    """A number, or None where the source has none."""


class Notice(NamedTuple):
    """Something that indexing found damaged and left out."""

    where: str
    words: str


class Source(Protocol):
    """Samples by number."""

    classes: Sequence[str]
    """Names by label, where the source knows them."""
    notices: Sequence[Notice]
    digest: str
    """Changes with the samples or their order; equal on all workers that see the same data."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Record:
        """The sample; raises DamagedError where it cannot be read as what it should be."""
        ...

    def name(self, index: int) -> str:
        """What to call the sample in a log."""
        ...


Opener = Callable[[Any], Source]


def digest(parts: Iterable[str | bytes]) -> str:
    """A short hash of names and numbers, in their order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape"))
        total.update(b"\0")
    return total.hexdigest()[:16]


def read_file(path: str | Path) -> bytes:
    """A whole file of bounded size; pipes and devices are refused, for they may never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DamagedError("unreadable", f"{path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedError("unreadable", f"{path}: not a regular file")
        if status.st_size > RECORD_LIMIT:
            raise DamagedError("too_large", f"{path}: {status.st_size} bytes")
        if status.st_size == 0:
            raise DamagedError("empty", f"{path}: empty")
        parts = []
        left = status.st_size
        while left and (part := os.read(descriptor, left)):
            parts.append(part)
            left -= len(part)
    except OSError as error:
        raise DamagedError("unreadable", f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return parts[0] if len(parts) == 1 else b"".join(parts)
