"""ImageFolder: one folder for each class, classes and files in the order that torchvision gives them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from regatta_feed.errors import SourceError
from regatta_feed.sources.base import Notice, Record, digest, read_file
from regatta_feed.spec import SourceSpec

__all__ = ["ENDINGS", "Folder", "open_folder"]

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class Folder:
    """Files by number. Names lie in one string, for a million objects would cost hundreds of megabytes."""

    def __init__(self, root: str, classes: Sequence[str], files: Iterator[tuple[int, str]]) -> None:
        self.classes = tuple(classes)
        self.notices: tuple[Notice, ...] = ()
        self._root = root
        self._labels = array("i")
        self._ends = array("q", [0])
        names = []
        for label, name in files:
            encoded = os.fsencode(name)
            names.append(encoded)
            self._labels.append(label)
            self._ends.append(self._ends[-1] + len(encoded))
        self._names = b"".join(names)
        self.digest = digest([*self.classes, str(len(self)), self._names])

    def __len__(self) -> int:
        return len(self._labels)

    def name(self, index: int) -> str:
        return os.fsdecode(self._names[self._ends[index] : self._ends[index + 1]])

    def read(self, index: int) -> Record:
        return Record(read_file(os.path.join(self._root, self.name(index))), self._labels[index])


def open_folder(spec: SourceSpec) -> Folder:
    """Index a folder of class folders."""
    root = spec.uri
    if not os.path.isdir(root):
        raise SourceError(f"{root}: there is no such folder")
    with os.scandir(root) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        raise SourceError(f"{root}: no folders in it; ImageFolder wants one folder of images for each class")
    return Folder(root, classes, _files(root, classes))


def _files(root: str, classes: Sequence[str]) -> Iterator[tuple[int, str]]:
    for label, name in enumerate(classes):
        for folder, _, files in sorted(os.walk(os.path.join(root, name), followlinks=True)):
            inside = os.path.relpath(folder, root)
            for file in sorted(files):
                if file.lower().endswith(ENDINGS):
                    yield label, os.path.join(inside, file)
