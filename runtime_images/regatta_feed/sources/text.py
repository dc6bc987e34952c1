"""Text: every line that is not empty is a sample."""

from __future__ import annotations

from array import array

from regatta_feed.errors import SourceError
from regatta_feed.sources.base import RECORD_LIMIT, Files, Notice, Record, digest, listed
from regatta_feed.spec import SourceSpec

__all__ = ["Lines", "open_text"]


class Lines:
    """Lines of files by number; the index is 24 bytes a line."""

    def __init__(self, files: Files) -> None:
        self.classes: tuple[str, ...] = ()
        self.notices: tuple[Notice, ...] = ()
        self._files = files
        self._entries = array("q")  # of each line: file, offset, size
        for number in range(len(files.paths)):
            self._index(number)
        self.digest = digest([*(path.name for path in files.paths), self._entries.tobytes()])

    def _index(self, number: int) -> None:
        start = 0
        with self._files.paths[number].open("rb") as file:
            while line := file.readline(RECORD_LIMIT + 1):
                size = len(line.rstrip(b"\r\n"))
                if len(line) > RECORD_LIMIT:
                    raise SourceError(
                        f"{self._files.paths[number]}: a line of more than {RECORD_LIMIT} bytes at {start}"
                    )
                if line.strip():
                    self._entries.extend((number, start, size))
                start += len(line)

    def __len__(self) -> int:
        return len(self._entries) // 3

    def name(self, index: int) -> str:
        number, offset, _ = self._entries[index * 3 : index * 3 + 3]
        return f"{self._files.paths[number]}:{offset}"

    def read(self, index: int) -> Record:
        number, offset, size = self._entries[index * 3 : index * 3 + 3]
        return Record(self._files.read(number, offset, size), None)


def open_text(spec: SourceSpec) -> Lines:
    """Index a text file, or those of a folder in the order of their names."""
    return Lines(Files(listed(spec.uri, (".txt", ".jsonl", ".csv", ".tsv"))))
