"""Parquet: a column with images (bytes, or a struct with `bytes`) or lists of numbers, and a column of labels.

pyarrow is imported where rows are read, in a worker: it starts threads, which do not live through a fork. So the
index is made in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import numpy as np

from regatta_feed.errors import DamagedError, SourceError
from regatta_feed.sources.base import Notice, Record, digest
from regatta_feed.sources.files import Files, LocalFiles, files_of
from regatta_feed.spec import SourceSpec

__all__ = ["Parquet", "open_parquet"]

DATA: Final = ("image", "data", "text")
LABEL: Final = ("label", "class", "target")
_LOCK: Final = threading.Lock()
"""Of the row groups kept: who reads ahead is a thread."""
GROUPS_KEPT: Final = 8
"""Row groups that a worker keeps decoded: shuffled reading wants many, memory wants few."""


class Parquet:
    """Rows by number; the unit of reading is a row group."""

    def __init__(
        self, files: Files, rows: list[tuple[int, list[int]]], *, data: str, label: str | None, notices: list[Notice]
    ) -> None:
        self.classes: tuple[str, ...] = ()
        self.notices = tuple(notices)
        self._files, self._data, self._label = files, data, label
        self._groups: list[tuple[int, int]] = []
        self._starts: list[int] = []
        total = 0
        for file, counts in rows:
            for number, count in enumerate(counts):
                if count:
                    self._groups.append((file, number))
                    self._starts.append(total)
                    total += count
        self._total = total
        self._kept: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self.digest = digest(
            [data, str(label), *(f"{files.stamps[file]}:{number}" for file, number in self._groups), str(total)]
        )

    def __len__(self) -> int:
        return self._total

    def name(self, index: int) -> str:
        group, row = self._place(index)
        file, number = self._groups[group]
        return f"{self._files.names[file]}: row {row} of group {number}"

    def read(self, index: int) -> Record:
        group, row = self._place(index)
        try:
            with _LOCK:
                data, labels = self._columns(group)
        except (OSError, ValueError) as error:  # pyarrow's own errors are these two
            raise DamagedError("malformed", f"{self.name(index)}: {error}") from error
        value = data[row].as_py()
        if isinstance(value, dict):
            value = value.get("bytes")
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, list | int | float):
            value = np.asarray(value, np.float32)
        if value is None:
            raise DamagedError("missing", f"{self.name(index)}: no value in column {self._data}")
        label = None if labels is None else labels[row].as_py()
        if labels is not None and (isinstance(label, bool) or not isinstance(label, int | float)):
            raise DamagedError("label", f"{self.name(index)}: its label is not a number")
        return Record(value, label)

    def _place(self, index: int) -> tuple[int, int]:
        group = bisect_right(self._starts, index) - 1
        return group, index - self._starts[group]

    def _columns(self, group: int) -> tuple[Any, Any]:
        found = self._kept.get(group)
        if found is not None:
            self._kept.move_to_end(group)
            return found
        import pyarrow
        import pyarrow.parquet

        pyarrow.set_cpu_count(1)
        place, number = self._groups[group]
        wanted = [self._data] + ([self._label] if self._label else [])
        with self._files.open(place) as stored, pyarrow.parquet.ParquetFile(stored) as file:
            table = file.read_row_group(number, columns=wanted, use_threads=False)
        found = (table.column(self._data), table.column(self._label) if self._label else None)
        self._kept[group] = found
        if len(self._kept) > GROUPS_KEPT:
            self._kept.popitem(last=False)
        return found


def open_parquet(spec: SourceSpec) -> Parquet:
    """Index a file, or those of a folder in the order of their names."""
    stored = files_of(spec.uri, (".parquet",), seconds=spec.seconds)
    answers = (
        _asked(spec, stored) if isinstance(stored, LocalFiles) else stored.map(lambda number: _look(stored, number))
    )
    files, notices = [], []
    names: list[str] | None = None
    for number, answer in enumerate(answers):
        path = stored.names[number]
        if "problem" in answer:
            notices.append(Notice(path, answer["problem"]))
        elif names is not None and answer["names"] != names:
            raise SourceError(f"{path}: its columns {answer['names']} are not those of the files before it: {names}")
        else:
            names = answer["names"]
            files.append((number, answer["rows"]))
    if names is None:
        raise SourceError(f"{spec.uri}: no Parquet file in it can be read: {notices[0].words}")
    data = _column(spec.data, DATA, names, spec.uri, field="data")
    return Parquet(stored, files, data=data, label=_label(spec, names), notices=notices)


def _asked(spec: SourceSpec, files: Files) -> list[dict[str, Any]]:
    program = [sys.executable, "-c", "from regatta_feed.sources.parquet import index; index()"]
    # It has to find what we are, wherever we were found.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asked = json.dumps(files.names)
    ended = subprocess.run(program, input=asked, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode != 0:
        raise SourceError(f"{spec.uri}: {ended.stderr.strip()[-500:] or 'indexing it was killed'}")
    return list(json.loads(ended.stdout))


def _label(spec: SourceSpec, names: list[str]) -> str | None:
    if spec.label:
        return _column(spec.label, (), names, spec.uri, field="label")
    return next((name for name in LABEL if name in names), None)


def _column(wanted: str | None, usual: tuple[str, ...], names: list[str], uri: str, *, field: str) -> str:
    found = next((name for name in ((wanted,) if wanted else usual) if name in names), None)
    if found is None:
        missing = f"no column {wanted}" if wanted else f"none of the columns {', '.join(usual)}"
        raise SourceError(f"{uri}: {missing}; write source.{field} with one of {', '.join(names)}")
    return found


def index() -> None:
    """Body of the indexing process: paths on the standard input, columns and row counts on the standard output."""
    files = LocalFiles([Path(name) for name in json.load(sys.stdin)])
    json.dump(files.map(lambda number: _look(files, number)), sys.stdout)


def _look(files: Files, number: int) -> dict[str, Any]:
    import pyarrow.parquet

    try:
        with files.open(number) as stored, pyarrow.parquet.ParquetFile(stored) as file:
            meta = file.metadata
            rows = [meta.row_group(group).num_rows for group in range(meta.num_row_groups)]
            return {"names": file.schema_arrow.names, "rows": rows}
    except (OSError, ValueError) as error:
        return {"problem": f"{error}"[:300]}
