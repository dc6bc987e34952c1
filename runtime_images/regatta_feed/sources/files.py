"""The files of a source, on this machine or behind a URI: walked over once, then read by stretches."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeVar

from regatta_feed.errors import DamagedError, SourceError
from regatta_feed.sources.base import RECORD_LIMIT
from regatta_feed.storage import RemoteFile, Storage, is_remote, open_storage

__all__ = ["Files", "LocalFiles", "RemoteFiles", "files_of"]

T = TypeVar("T")
WINDOW: Final = 1 << 20
"""Bytes of a request while a remote file is walked over; what is smaller than that is read whole, by and by."""
CHUNK: Final = 8 << 20
"""Bytes of a request while a file is copied."""
WALKERS: Final = 8
"""Remote files that are walked over at a time."""


class Files(Protocol):
    """Files by number."""

    names: Sequence[str]
    """As they are called in a log."""
    stamps: Sequence[str]
    """What a digest takes of each."""

    def open(self, number: int) -> IO[bytes]:
        """The file, to be walked over."""
        ...

    def size(self, number: int) -> int:
        """Bytes in it."""
        ...

    def read(self, number: int, offset: int, size: int) -> bytes:
        """A stretch of it; raises DamagedError where it is not there."""
        ...

    def map(self, function: Callable[[int], T]) -> list[T]:
        """The function's result for each number."""
        ...


def files_of(uri: str, endings: Sequence[str], *, seconds: float) -> Files:
    """The files that a URI means, sorted: itself, or those below it that have one of the endings."""
    if is_remote(uri):
        storage = open_storage(uri, seconds=seconds)
        try:
            entries = storage.listed()
        except DamagedError as error:
            raise SourceError(f"{uri}: there is no such object, and none below it") from error
        found = [each for each in entries if not each.name or each.name.endswith(tuple(endings))]
        if not found:
            raise SourceError(f"{uri}: no files that end with {' or '.join(endings)}")
        return RemoteFiles(storage, found)
    path = Path(uri)
    if path.is_dir():
        paths = sorted(each for each in path.rglob("*") if each.name.endswith(tuple(endings)) and each.is_file())
        if not paths:
            raise SourceError(f"{uri}: no files that end with {' or '.join(endings)}")
        return LocalFiles(paths)
    if not path.exists():
        raise SourceError(f"{uri}: there is no such file or folder")
    return LocalFiles([path])


class _Descriptor:
    """Closed when nobody uses it any more."""

    def __init__(self, path: str) -> None:
        self.number = -1
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


class LocalFiles:
    """Descriptors are opened where they are first read; a fork shares none of them, threads do."""

    def __init__(self, paths: Sequence[Path], *, limit: int = 64, like: RemoteFiles | None = None) -> None:
        self._paths = tuple(str(path) for path in paths)
        self.names = self._paths if like is None else like.names
        self.stamps = tuple(path.name for path in paths) if like is None else like.stamps
        self._limit = limit
        self._open: dict[int, _Descriptor] = {}
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def open(self, number: int) -> IO[bytes]:
        return open(self._paths[number], "rb")

    def size(self, number: int) -> int:
        return os.stat(self._paths[number]).st_size

    def read(self, number: int, offset: int, size: int) -> bytes:
        check_size(self.names[number], offset, size)
        try:
            descriptor = self._descriptor(number)
            data = os.pread(descriptor.number, size, offset)
        except OSError as error:
            raise DamagedError("unreadable", f"{self.names[number]}: {error.strerror}") from error
        return whole(data, self.names[number], offset, size)

    def map(self, function: Callable[[int], T]) -> list[T]:
        return [function(number) for number in range(len(self.names))]

    def close(self) -> None:
        """Take copies away."""
        if self._paths and self._paths is not self.names:
            shutil.rmtree(Path(self._paths[0]).parent, ignore_errors=True)

    def _descriptor(self, number: int) -> _Descriptor:
        if self._process != os.getpid():
            self._open = {}
            self._process = os.getpid()
        found = self._open.get(number)
        if found is None:
            if len(self._open) >= self._limit:
                self._open.pop(next(iter(self._open)), None)
            found = self._open[number] = _Descriptor(self._paths[number])
        return found


class RemoteFiles:
    """Objects; each stretch is a request of its own."""

    def __init__(self, storage: Storage, entries: Sequence[Any]) -> None:
        self._storage, self._entries = storage, tuple(entries)
        self.names = tuple(f"{storage.uri}/{each.name}" if each.name else storage.uri for each in entries)
        self.stamps = tuple(f"{each.name}:{each.size}:{each.stamp}" for each in entries)

    def open(self, number: int) -> IO[bytes]:
        entry = self._entries[number]
        return io.BufferedReader(RemoteFile(self._storage, entry.name, entry.size), WINDOW)

    def size(self, number: int) -> int:
        return int(self._entries[number].size)

    def read(self, number: int, offset: int, size: int) -> bytes:
        check_size(self.names[number], offset, size)
        if offset + size > self.size(number):
            raise DamagedError("truncated", f"{self.names[number]}: ends within a sample at {offset}")
        return whole(self._storage.read(self._entries[number].name, offset, size), self.names[number], offset, size)

    def fetched(self, *, folder: str, limit: int) -> LocalFiles:
        """Copies of all files in a new folder; raises SourceError where they are more than the limit."""
        total = sum(each.size for each in self._entries)
        if total > limit:
            raise SourceError(
                f"{self._storage.uri}: {total >> 20} MiB must be copied, more than --cache-mib allows; raise it"
            )
        Path(folder).mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="fetched-", dir=folder))

        def fetch(number: int) -> Path:
            entry = self._entries[number]
            path = place / str(number)
            with path.open("wb") as file:
                for offset in range(0, entry.size, CHUNK):
                    file.write(self._storage.read(entry.name, offset, min(CHUNK, entry.size - offset)))
            return path

        return LocalFiles(self.map(fetch), like=self)

    def map(self, function: Callable[[int], T]) -> list[T]:
        with ThreadPoolExecutor(WALKERS) as pool:
            return list(pool.map(function, range(len(self.names))))


def check_size(name: str, offset: int, size: int) -> None:
    """Refuse a length that lies."""
    if not 0 <= size <= RECORD_LIMIT:
        raise DamagedError("too_large", f"{name}: a sample of {size} bytes at {offset}")


def whole(data: bytes, name: str, offset: int, size: int) -> bytes:
    """The data, of the size that it should have."""
    if len(data) != size:
        raise DamagedError("truncated", f"{name}: ends within a sample at {offset}")
    return data
