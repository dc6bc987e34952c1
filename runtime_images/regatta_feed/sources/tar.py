"""WebDataset: tar files whose neighbours with the same stem are one sample (a.jpg, a.cls).

Indexed by walking over the headers, so that any sample is one read later on. Headers are checked (their own
checksum), lengths are bounded by the file's size, and a damaged header ends its file: the samples before it are used
but for the last, which may have had more parts, and the rest is told.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

from regatta_feed.errors import DamagedError
from regatta_feed.sources.base import Notice, Record, digest
from regatta_feed.sources.files import Files, files_of
from regatta_feed.spec import SourceSpec

__all__ = ["Tars", "open_tars"]

BLOCK: Final = 512
LONG_NAME_LIMIT: Final = 1 << 16
DATA_ENDINGS: Final = (
    "jpg",
    "jpeg",
    "png",
    "webp",
    "bmp",
    "ppm",
    "pgm",
    "tif",
    "tiff",
    "txt",
    "json",
    "npy",
    "wav",
    "flac",
)
LABEL_ENDINGS: Final = ("cls", "label")
_REGULAR, _LINKS_AND_FOLDERS = (b"0", b"\0", b"7"), (b"1", b"2", b"3", b"4", b"5", b"6", b"g", b"K")


class Member(NamedTuple):
    """A regular file in a tar."""

    name: str
    offset: int
    size: int


class BadHeaderError(Exception):
    """What should be a header is none."""


class Tars:
    """Samples of tar files by number."""

    def __init__(self, files: Files, *, data: str | None, label: str | None) -> None:
        self.classes: tuple[str, ...] = ()
        self._files = files
        self._entries = array("q")  # of each sample: file, offset and size of the data, offset and size of the label
        self._names: list[str] = []
        notices: list[Notice] = []
        wanted = (data,) if data else DATA_ENDINGS
        labels = (label,) if label else LABEL_ENDINGS

        def walked(number: int) -> tuple[list[tuple[str, Member, Member]], str]:
            found, problem = [], ""
            with files.open(number) as file:
                try:
                    for stem, parts in _samples(_members(file, files.size(number))):
                        chosen = next((parts[ending] for ending in wanted if ending in parts), None)
                        if chosen is not None:
                            other = next((parts[ending] for ending in labels if ending in parts), Member("", -1, -1))
                            found.append((stem, chosen, other))
                except BadHeaderError as error:
                    problem = str(error)
            return found, problem

        for number, (found, problem) in enumerate(files.map(walked)):
            for stem, chosen, other in found:
                self._entries.extend((number, chosen.offset, chosen.size, other.offset, other.size))
                self._names.append(stem)
            if problem:
                notices.append(Notice(files.names[number], problem))
        self.notices = tuple(notices)
        self.digest = digest([*files.stamps, self._entries.tobytes()])

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return f"{self._files.names[self._entries[index * 5]]}:{self._names[index]}"

    def read(self, index: int) -> Record:
        number, offset, size, label_offset, label_size = self._entries[index * 5 : index * 5 + 5]
        if size == 0:
            raise DamagedError("empty", f"{self.name(index)}: empty")
        data = self._files.read(number, offset, size)
        if label_offset < 0:
            return Record(data, None)
        text = self._files.read(number, label_offset, min(label_size, 64))
        try:
            label = json.loads(text)
        except ValueError:
            label = None
        if isinstance(label, bool) or not isinstance(label, int | float):
            raise DamagedError("label", f"{self.name(index)}: its label is not a number: {text[:40]!r}")
        return Record(data, label)


def open_tars(spec: SourceSpec) -> Tars:
    """Index a tar, or the tars of a folder in the order of their names."""
    return Tars(files_of(spec.uri, (".tar",), seconds=spec.seconds), data=spec.data, label=spec.label)


def _samples(members: Iterator[Member]) -> Iterator[tuple[str, dict[str, Member]]]:
    """Neighbours with the same stem; a stem ends at the first dot of the file's own name."""
    stem, parts = "", dict[str, Member]()
    for member in members:
        folder, slash, file = member.name.rpartition("/")
        base, dot, ending = file.partition(".")
        if not dot or not base:
            continue
        if folder + slash + base != stem:
            if parts:
                yield stem, parts
            stem, parts = folder + slash + base, {}
        parts.setdefault(ending.lower(), member)
    if parts:
        yield stem, parts


def _members(file: IO[bytes], end: int) -> Iterator[Member]:
    offset, longer = 0, ""
    while offset + BLOCK <= end:
        header = _at(file, offset, BLOCK)
        if not header.strip(b"\0"):
            return  # the first empty block ends a tar
        size = _checked(header, offset)
        content, kind = offset + BLOCK, header[156:157]
        if content + size > end:
            raise BadHeaderError(f"the file ends within the member at {offset}; it and what followed are left out")
        if kind in (b"L", b"x"):
            if size > LONG_NAME_LIMIT:
                raise BadHeaderError(f"a name of {size} bytes at {offset}; what follows is left out")
            text = _at(file, content, size)
            longer = (text.rstrip(b"\0").decode("utf-8", "replace") if kind == b"L" else _pax_path(text)) or longer
        else:
            if kind in _REGULAR:
                yield Member(longer or _name(header), content, size)
            elif kind not in _LINKS_AND_FOLDERS:
                raise BadHeaderError(f"a member of unknown type {kind!r} at {offset}; what follows is left out")
            longer = ""
        offset = content + -(-size // BLOCK) * BLOCK
    if offset < end:
        raise BadHeaderError(f"the file ends within a header at {offset}")


def _at(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _checked(header: bytes, offset: int) -> int:
    """The member's size, of a header whose checksum fits."""
    total = sum(header) - sum(header[148:156]) + 8 * 32
    if _number(header[148:156]) != total:
        raise BadHeaderError(f"a damaged header at {offset}; what follows is left out")
    size = _number(header[124:136])
    if size is None:
        raise BadHeaderError(f"a header without a length at {offset}; what follows is left out")
    return size


def _number(field: bytes) -> int | None:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")  # beyond 8 GiB
    text = field.strip(b" \0")
    if not text or text.strip(b"01234567"):
        return None
    return int(text, 8)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:262] == b"ustar" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "replace")


def _pax_path(text: bytes) -> str:
    while text:
        length, _, rest = text.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(text):
            return ""
        key, _, value = rest[: int(length) - len(length) - 1].partition(b"=")
        if key == b"path":
            return value.rstrip(b"\n").decode("utf-8", "replace")
        text = text[int(length) :]
    return ""
