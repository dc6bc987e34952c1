"""ImageFolder: one folder for each class, classes and files in the order that torchvision gives them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from regatta_feed.errors import DamagedError, SourceError
from regatta_feed.sources.base import Notice, Record, digest, read_file
from regatta_feed.spec import SourceSpec
from regatta_feed.storage import Storage, is_remote, open_storage

__all__ = ["ENDINGS", "Folder", "indexed", "open_folder"]

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class Folder:
    """Files by number. Names lie in one string, for a million objects would cost hundreds of megabytes."""

    def __init__(
        self, read: Callable[[str], bytes], classes: Sequence[str], files: Iterable[tuple[int, str]], *, stamp: str = ""
    ) -> None:
        self.classes = tuple(classes)
        self.notices: tuple[Notice, ...] = ()
        self._read = read
        self._labels = array("i")
        self._ends = array("q", [0])
        names = []
        for label, name in files:
            encoded = os.fsencode(name)
            names.append(encoded)
            self._labels.append(label)
            self._ends.append(self._ends[-1] + len(encoded))
        self._names = b"".join(names)
        self.digest = digest([*self.classes, str(len(self)), self._names, *([stamp] if stamp else [])])

    def __len__(self) -> int:
        return len(self._labels)

    def name(self, index: int) -> str:
        return os.fsdecode(self._names[self._ends[index] : self._ends[index + 1]])

    def read(self, index: int) -> Record:
        return Record(self._read(self.name(index)), self._labels[index])


@dataclass(frozen=True, slots=True)
class _Local:
    """Reads files below a folder of this machine."""

    root: str

    def __call__(self, name: str) -> bytes:
        return read_file(os.path.join(self.root, name))


@dataclass(frozen=True, slots=True)
class _Remote:
    """Reads objects below a URI."""

    storage: Storage

    def __call__(self, name: str) -> bytes:
        data = self.storage.read(name)
        if not data:
            raise DamagedError("empty", f"{self.storage.uri}/{name}: empty")
        return data


def open_folder(spec: SourceSpec) -> Folder:
    """Index a folder of class folders with images in them."""
    return indexed(spec, ENDINGS, what="images")


def indexed(spec: SourceSpec, endings: tuple[str, ...], *, what: str) -> Folder:
    """Index a folder of class folders, by the endings of its files."""
    root = spec.uri
    if is_remote(root):
        return _remote(spec, endings, what=what)
    if not os.path.isdir(root):
        raise SourceError(f"{root}: there is no such folder")
    with os.scandir(root) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        raise SourceError(f"{root}: no folders in it; {spec.format} wants one folder of {what} for each class")
    return Folder(_Local(root), classes, _files(root, classes, endings))


def _files(root: str, classes: Sequence[str], endings: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for label, name in enumerate(classes):
        for folder, _, files in sorted(os.walk(os.path.join(root, name), followlinks=True)):
            inside = os.path.relpath(folder, root)
            for file in sorted(files):
                if file.lower().endswith(endings):
                    yield label, os.path.join(inside, file)


def _remote(spec: SourceSpec, endings: tuple[str, ...], *, what: str) -> Folder:
    storage = open_storage(spec.uri, seconds=spec.seconds)
    try:
        entries = [each for each in storage.listed() if "/" in each.name]
    except DamagedError as error:
        raise SourceError(f"{spec.uri}: there are no objects below it") from error
    classes = sorted({each.name.partition("/")[0] for each in entries})
    if not classes:
        raise SourceError(f"{spec.uri}: no folders in it; {spec.format} wants one folder of {what} for each class")
    wanted = [each for each in entries if each.name.lower().endswith(endings)]
    wanted.sort(key=lambda each: (each.name.partition("/")[0], *each.name.rpartition("/")[::2]))
    number = {name: label for label, name in enumerate(classes)}
    files = ((number[each.name.partition("/")[0]], each.name) for each in wanted)
    return Folder(_Remote(storage), classes, files, stamp=digest(f"{each.size}:{each.stamp}" for each in wanted))
