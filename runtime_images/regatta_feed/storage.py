"""Data that lies on other machines: objects behind a URI, listed once and read by name.

S3 and its kin (`s3://`, `gs://`, `az://`) are read with obstore, whose requests keep no Python busy; everything else
with fsspec. Both start threads, which do not live through a fork: only workers, and what `isolate` runs, may read.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from regatta_feed.errors import DamagedError, SourceError

__all__ = ["SCHEMES", "Entry", "RemoteFile", "Storage", "is_remote", "open_storage"]

T = TypeVar("T")
SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
"""What obstore reads."""
SECONDS: Final = 60.0
"""That one object may take, with all tries."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0
WORDS: Final = 400


class Entry(NamedTuple):
    """An object, by its name below the URI."""

    name: str
    size: int
    stamp: str
    """Changes with the content, as far as the storage tells."""


class Storage(Protocol):
    """Objects behind a URI."""

    uri: str

    def listed(self) -> list[Entry]:
        """All objects below the URI, or the one that it names, whose name is then empty; sorted by name."""
        ...

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """A whole object, or a stretch of it; DamagedError where it is not there, SourceError where nothing answers."""
        ...


def is_remote(uri: str) -> bool:
    """Whether a URI means another machine."""
    return "://" in uri


def open_storage(uri: str, *, seconds: float = SECONDS) -> Storage:
    """What reads the URI; nothing is asked yet."""
    scheme = uri.partition("://")[0].lower()
    return _Objects(uri, seconds) if scheme in SCHEMES else _Files(uri, seconds)


class _Objects:
    """Of object stores, by obstore, which knows their credentials and tries again itself."""

    def __init__(self, uri: str, seconds: float) -> None:
        self.uri = uri.rstrip("/")
        self._seconds = seconds
        scheme, _, rest = self.uri.partition("://")
        bucket, _, self._prefix = rest.partition("/")
        self._root = f"{scheme}://{bucket}"
        self._opened: tuple[int, Any] = (0, None)

    def __reduce__(self) -> Any:
        return _Objects, (self.uri, self._seconds)

    def listed(self) -> list[Entry]:
        import obstore

        def ask() -> list[Entry]:
            chunks = obstore.list(self._store, prefix=self._prefix or None)
            return [self._entry(each) for chunk in chunks for each in chunk]

        found = self._patiently(ask, self.uri)
        if not found and self._prefix:
            return [self._patiently(lambda: self._entry(obstore.head(self._store, self._prefix)), self.uri)]
        return sorted(found)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        import obstore

        key = f"{self._prefix}/{name}".strip("/") if name else self._prefix

        def ask() -> bytes:
            if size is None:
                return bytes(obstore.get(self._store, key).bytes())
            return bytes(obstore.get_range(self._store, key, start=offset, length=size)) if size else b""

        return self._patiently(ask, f"{self._root}/{key}")

    def _patiently(self, ask: Callable[[], T], name: str) -> T:
        """The answer; obstore takes some ways in which a connection breaks for final ones, and asks no more."""
        deadline, pause = time.monotonic() + self._seconds, FIRST_PAUSE
        while True:
            try:
                return ask()
            except Exception as error:
                if not _UNSENT.search(str(error)) or time.monotonic() + pause >= deadline:
                    raise _translated(name, error) from error
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _entry(self, meta: Any) -> Entry:
        name = meta["path"][len(self._prefix) :].lstrip("/")
        return Entry(name, int(meta["size"]), str(meta["e_tag"] or meta["last_modified"]))

    @property
    def _store(self) -> Any:
        """One for each process: its threads are not there after a fork."""
        if self._opened[0] != os.getpid():
            try:
                from obstore.store import from_url
            except ImportError as error:
                raise SourceError(
                    f"{self.uri}: reading it needs obstore: pip install 'regatta-operator[s3]'"
                ) from error
            plain = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
            client = {"timeout": timedelta(seconds=self._seconds / 2), "connect_timeout": timedelta(seconds=5)}
            self._opened = (
                os.getpid(),
                from_url(
                    self._root,
                    client_options={**client, **({"allow_http": True} if plain else {})},
                    retry_config={
                        "max_retries": 1000,
                        "retry_timeout": timedelta(seconds=self._seconds),
                        "backoff": {
                            "init_backoff": timedelta(seconds=FIRST_PAUSE),
                            "max_backoff": timedelta(seconds=LONGEST_PAUSE),
                            "base": 2,
                        },
                    },
                ),
            )
        return self._opened[1]


_ENDPOINTS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")


_UNSENT: Final = re.compile(r"error sending request|error decoding response body", re.IGNORECASE)
_DENIED: Final = re.compile(r"PermissionDenied|Unauthenticated|status code: 40[13]\b")


def _translated(name: str, error: Exception) -> Exception:
    """What obstore raises, as an error of this project."""
    words = " ".join(str(error).partition("Debug source")[0].split())[:WORDS] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return DamagedError("unreadable", f"{name}: there is no such object")
    if isinstance(error, PermissionError) or _DENIED.search(f"{type(error).__name__} {words}"):
        return SourceError(f"{name}: access is denied; look at the credentials in the environment ({words})")
    return SourceError(f"{name}: the storage does not answer as it should: {words}")


class _Files:
    """Of everything that fsspec knows."""

    def __init__(self, uri: str, seconds: float) -> None:
        self.uri = uri.rstrip("/")
        self._seconds = seconds
        self._opened: tuple[int, Any, str] = (0, None, "")

    def __reduce__(self) -> Any:
        return _Files, (self.uri, self._seconds)

    def listed(self) -> list[Entry]:
        filesystem, root = self._filesystem
        found = self._tried(self.uri, lambda: filesystem.find(root, detail=True))
        entries = []
        for path, info in found.items():
            stamp = next((str(info[key]) for key in ("ETag", "etag", "mtime", "LastModified") if info.get(key)), "")
            size = info.get("size")
            if size is None:
                size = self._tried(path, lambda path=path: filesystem.size(path)) or 0
            entries.append(Entry(path[len(root) :].lstrip("/"), int(size), stamp))
        return sorted(entries)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        filesystem, root = self._filesystem
        path = f"{root}/{name}" if name else root
        end = None if size is None else offset + size
        return bytes(self._tried(path, lambda: filesystem.cat_file(path, start=offset or None, end=end)))

    def _tried(self, name: str, function: Callable[[], T]) -> T:
        """The function's result, tried again for a while; what never answers is left alone in its thread."""
        until = time.monotonic() + self._seconds
        pause = FIRST_PAUSE
        while True:
            try:
                return _within(until - time.monotonic(), function)
            except (FileNotFoundError, PermissionError) as error:
                raise _translated(name, error) from error
            except Exception as error:
                if time.monotonic() + pause >= until:
                    raise _translated(name, error) from error
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    @property
    def _filesystem(self) -> tuple[Any, str]:
        if self._opened[0] != os.getpid():
            try:
                import fsspec

                filesystem, root = fsspec.url_to_fs(self.uri)
            except (ImportError, ValueError) as error:
                raise SourceError(f"{self.uri}: {error}") from error
            self._opened = (os.getpid(), filesystem, root.rstrip("/"))
        return self._opened[1:]


def _within(seconds: float, function: Callable[[], T]) -> T:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((function(), None))
        except Exception as error:
            results.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.01, seconds))
    if not results:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    value, error = results[0]
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


class RemoteFile(io.RawIOBase):
    """An object as a file that can be read from any place; every read is a request, so put a buffer around it."""

    def __init__(self, storage: Storage, name: str, size: int) -> None:
        super().__init__()
        self._storage, self._name, self._size = storage, name, size
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read on from somewhere else."""
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence])
        return self._place

    def readinto(self, buffer: Any) -> int:
        """As many bytes as the buffer takes, fewer at the end."""
        count = max(0, min(len(buffer), self._size - self._place))
        if count == 0:
            return 0
        data = self._storage.read(self._name, self._place, count)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
