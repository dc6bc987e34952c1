"""Text: every line that is not empty is a sample."""

from __future__ import annotations

import tempfile
from array import array

from regatta_feed.errors import SourceError
from regatta_feed.sources.base import RECORD_LIMIT, Notice, Record, digest
from regatta_feed.sources.files import Files, LocalFiles, RemoteFiles, files_of
from regatta_feed.spec import SourceSpec

__all__ = ["Lines", "open_text"]


class Lines:
    """Lines of files by number; the index is 24 bytes a line."""

    def __init__(self, files: Files) -> None:
        self.classes: tuple[str, ...] = ()
        self.notices: tuple[Notice, ...] = ()
        self._files = files
        self._entries = array("q")  # of each line: file, offset, size
        for found in files.map(lambda number: _walked(files, number)):
            self._entries.extend(found)
        self.digest = digest([*files.stamps, self._entries.tobytes()])

    def close(self) -> None:
        """Take copies of files away."""
        if isinstance(self._files, LocalFiles):
            self._files.close()

    def __len__(self) -> int:
        return len(self._entries) // 3

    def name(self, index: int) -> str:
        number, offset, _ = self._entries[index * 3 : index * 3 + 3]
        return f"{self._files.names[number]}:{offset}"

    def read(self, index: int) -> Record:
        number, offset, size = self._entries[index * 3 : index * 3 + 3]
        return Record(self._files.read(number, offset, size), None)


def open_text(spec: SourceSpec) -> Lines:
    """Index a text file, or those of a folder in the order of their names."""
    files = files_of(spec.uri, (".txt", ".jsonl", ".csv", ".tsv"), seconds=spec.seconds)
    if isinstance(files, RemoteFiles):  # a request for each line would be too many
        files = files.fetched(folder=spec.folder or tempfile.gettempdir(), limit=spec.limit)
    return Lines(files)


def _walked(files: Files, number: int) -> array[int]:
    """File, offset and size of each line."""
    entries = array("q")
    start = 0
    with files.open(number) as file:
        while line := file.readline(RECORD_LIMIT + 1):
            if len(line) > RECORD_LIMIT:
                raise SourceError(f"{files.names[number]}: a line of more than {RECORD_LIMIT} bytes at {start}")
            if line.strip():
                entries.extend((number, start, len(line.rstrip(b"\r\n"))))
            start += len(line)
    return entries
