"""TFRecord files of tf.train.Example: an image (bytes) or numbers, and a label.

Indexed by walking over the lengths, each under its own checksum; the data's checksum is looked at when it is read.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any, Final

from regatta_feed.errors import DamagedError
from regatta_feed.sources.base import Notice, Record, digest
from regatta_feed.sources.crc32c import check
from regatta_feed.sources.example import MalformedError, parse_example
from regatta_feed.sources.files import Files, files_of
from regatta_feed.spec import SourceSpec

__all__ = ["TFRecords", "open_tfrecords"]

DATA: Final = ("image/encoded", "image_raw", "image")
LABEL: Final = ("image/class/label", "label")
HEADER: Final = 12


class TFRecords:
    """Examples by number."""

    def __init__(self, files: Files, *, data: str | None, label: str | None) -> None:
        self.classes: tuple[str, ...] = ()
        self._files = files
        self._data = (data,) if data else DATA
        self._label = (label,) if label else LABEL
        self._entries = array("q")  # of each record: file, offset and size of its data
        notices = []
        for number, (found, problem) in enumerate(files.map(lambda number: _walked(files, number))):
            self._entries.extend(found)
            if problem:
                notices.append(Notice(files.names[number], problem))
        self.notices = tuple(notices)
        self.digest = digest([*files.stamps, self._entries.tobytes()])

    def __len__(self) -> int:
        return len(self._entries) // 3

    def name(self, index: int) -> str:
        number, offset, _ = self._entries[index * 3 : index * 3 + 3]
        return f"{self._files.names[number]}:{offset - HEADER}"

    def read(self, index: int) -> Record:
        number, offset, size = self._entries[index * 3 : index * 3 + 3]
        stored = self._files.read(number, offset, size + 4)
        if not check(stored[:-4], stored[-4:]):
            raise DamagedError("checksum", f"{self.name(index)}: the checksum does not fit")
        try:
            features = parse_example(stored[:-4])
        except MalformedError as error:
            raise DamagedError("malformed", f"{self.name(index)}: not a tf.train.Example: {error}") from error
        data = _first(features, self._data)
        if data is None:
            raise DamagedError(
                "missing", f"{self.name(index)}: none of the features {', '.join(self._data)}; write source.data: NAME"
            )
        label = _first(features, self._label)
        if isinstance(data, list):
            data = data[0]
        if label is not None and not isinstance(label, list):
            label = label[0].item()
        elif label is not None:
            raise DamagedError("label", f"{self.name(index)}: its label is not a number")
        return Record(data, label)


def _walked(files: Files, number: int) -> tuple[array[int], str]:
    """File, offset and size of each record, and what is wrong with the file."""
    entries = array("q")
    end, offset = files.size(number), 0
    with files.open(number) as file:
        while offset < end:
            file.seek(offset)
            header = file.read(HEADER)
            if len(header) < HEADER or not check(header[:8], header[8:]):
                return entries, f"a damaged length at {offset}; what follows is left out"
            size = struct.unpack("<Q", header[:8])[0]
            if size > end - offset - HEADER - 4:
                return entries, f"the file ends within the record at {offset}"
            entries.extend((number, offset + HEADER, size))
            offset += HEADER + size + 4
    return entries, ""


def _first(features: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((features[name] for name in names if features.get(name) is not None and len(features[name])), None)


def open_tfrecords(spec: SourceSpec) -> TFRecords:
    """Index a file, or those of a folder in the order of their names."""
    files = files_of(spec.uri, (".tfrecord", ".tfrecords", ".record"), seconds=spec.seconds)
    return TFRecords(files, data=spec.data, label=spec.label)
