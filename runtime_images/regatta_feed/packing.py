"""pack: all texts' tokens in the order of the source, as one long row that is cut into samples of one length.

The tokens are computed once, when the feed starts, by all its processes, and lie in files of this machine. So a sample
is a stretch of them, their number is known, and everything else (order, resuming, sharing out) is as with images.
"""

from __future__ import annotations

import mmap
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from regatta_feed.damage import NAMED_LIMIT
from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, FeedError, SourceError
from regatta_feed.isolate import isolated_all
from regatta_feed.sources.base import Notice, Record, Source, digest
from regatta_feed.steps.base import Item, Step
from regatta_feed.steps.text import Pack, row

__all__ = ["Packed", "packed"]

TOKEN: Final = np.dtype("<u4")
AT_ONCE: Final = 1 << 20
"""Tokens that are written at a time."""


class Packed:
    """Stretches of a row of tokens that lies in a few files."""

    def __init__(
        self, files: Sequence[IO[bytes]], counts: Sequence[int], *, length: int, stamp: str, notices: Sequence[Notice]
    ) -> None:
        self.classes: tuple[str, ...] = ()
        self.notices = tuple(notices)
        self.digest = digest([stamp, str(length)])
        self._length = length
        self._parts = [
            np.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), TOKEN)
            for file, count in zip(files, counts)
            if count
        ]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)]).tolist()

    def __len__(self) -> int:
        return int(self._starts[-1]) // self._length

    def name(self, index: int) -> str:
        """Which tokens they are."""
        return f"tokens {index * self._length} to {(index + 1) * self._length - 1}"

    def read(self, index: int) -> Record:
        """A row of tokens."""
        start, end = index * self._length, (index + 1) * self._length
        pieces = []
        while start < end:
            part = bisect_right(self._starts, start) - 1
            piece = self._parts[part][start - self._starts[part] : end - self._starts[part]]
            pieces.append(piece)
            start += len(piece)
        return Record(np.concatenate(pieces).astype(np.int64), None)


def packed(source: Source, steps: Sequence[Step], pack: Pack, *, processes: int, folder: Path, limit: int) -> Packed:
    """Compute all tokens; raises FeedError where they do not fit the limit."""
    count = len(source)
    shares = [range(count * n // processes, count * (n + 1) // processes) for n in range(processes)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [tempfile.TemporaryFile(dir=folder) for _ in shares]  # noqa: SIM115 - they live as long as the feed
    except OSError as error:
        raise FeedError(f"{folder}: the tokens cannot be kept there: {error.strerror}") from error
    written = [
        lambda share=share, file=file: _write(source, steps, pack, share, file, limit // processes)
        for share, file in zip(shares, files)
    ]
    done = isolated_all(written)
    damaged = sum(number for _, number, _ in done)
    notices = [*source.notices, *(notice for _, _, some in done for notice in some)]
    if damaged > -(-count // 100):
        raise FeedError(
            f"{damaged} of {count} texts are damaged, more than one in a hundred; the last: {notices[-1].words}"
        )
    made = Packed(
        files,
        [number for number, _, _ in done],
        length=pack.length,
        stamp=repr((source.digest, steps, pack)),
        notices=notices,
    )
    for file in files:
        file.close()  # what is mapped stays
    if not len(made):
        raise SourceError(f"all texts together have fewer than {pack.length} tokens, the length of one sample")
    return made


def _write(
    source: Source, steps: Sequence[Step], pack: Pack, share: range, file: IO[bytes], limit: int
) -> tuple[int, int, list[Notice]]:
    """Tokens written, texts damaged, and what to say of those."""
    total, damaged = 0, 0
    notices: list[Notice] = []
    waiting: list[Any] = []
    held = 0
    for sample in share:
        item = Item(None, None, source.name(sample))
        try:
            item.value = source.read(sample).data
            for number, step in enumerate(steps):
                step.apply(item, Draws(0).of(number))
        except DamagedError as error:
            damaged += 1
            if len(notices) < NAMED_LIMIT:
                notices.append(Notice(item.name, str(error)))
            continue
        tokens = row(item).astype(TOKEN)
        waiting.append(tokens if pack.separator is None else np.append(tokens, TOKEN.type(pack.separator)))
        held += len(waiting[-1])
        if held >= AT_ONCE or sample == share[-1]:
            total += _flush(waiting, file)
            held = 0
            if total * TOKEN.itemsize > limit:
                raise SourceError("the tokens take more than --cache-mib (cacheSize of a job); raise it")
    total += _flush(waiting, file)
    return total, damaged, notices


def _flush(waiting: list[Any], file: IO[bytes]) -> int:
    if not waiting:
        return 0
    data = np.concatenate(waiting)
    waiting.clear()
    try:
        file.write(data.tobytes())
        file.flush()
    except OSError as error:
        raise FeedError(f"the tokens cannot be kept: {error.strerror}") from error
    return len(data)
