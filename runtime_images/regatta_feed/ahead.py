"""Reading ahead: samples come from the source before they are needed, many at a time.

Which samples the next batches need is known. Each worker reads its share of them into the cache that all see, its own
next task's first; how far ahead is bounded by the bytes that the samples have had so far.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from regatta_feed.encoded import EncodedCache
from regatta_feed.errors import DamagedError, FeedError, SourceError
from regatta_feed.order import Order
from regatta_feed.sources.base import Record

__all__ = ["READERS", "ReadAhead"]

READERS: Final = 16
"""Requests of one worker at a time."""
FARTHEST: Final = 64
"""Steps."""
GUESS: Final = 128 << 10
"""Bytes of a sample, while none has been seen."""
PAUSE: Final = 0.002


class ReadAhead:
    """Of one worker; made after the fork, for it has threads."""

    def __init__(
        self,
        read: Callable[[int], Record],
        cache: EncodedCache,
        order: Order,
        *,
        workers: int,
        queues: int,
        epochs: int | None,
        seconds: float,
        done: Callable[[int], bool] = lambda _: False,
        readers: int = READERS,
    ) -> None:
        self._read, self._cache, self._order = read, cache, order
        self._workers, self._queues, self._epochs, self._seconds = workers, queues, epochs, seconds
        self._done = done  # whether what becomes of a sample is kept, so that it is not read again
        self._changed = threading.Condition()
        self._queue: deque[int] = deque()
        self._waiting: set[int] = set()
        self._doing: set[int] = set()
        self._planned: dict[int, tuple[int, int]] = {}  # by rank: the epoch and step up to which all is in the queue
        self._failure: FeedError | None = None
        self._seen = [0, 0]
        for _ in range(readers):
            threading.Thread(target=self._run, daemon=True).start()

    def want(self, samples: Iterable[int], *, epoch: int, step: int, rank: int) -> None:
        """These are needed at once; after them, this worker's share of the rank's next steps."""
        with self._changed:
            now = [sample for sample in samples if not self._there(sample) and sample not in self._doing]
            urgent = set(now)
            if urgent & self._waiting:
                self._queue = deque(sample for sample in self._queue if sample not in urgent)
            self._queue.extendleft(reversed(now))
            self._waiting |= urgent
            for sample in self._later(epoch, step, rank):
                if sample not in self._waiting and sample not in self._doing and not self._there(sample):
                    self._queue.append(sample)
                    self._waiting.add(sample)
            self._changed.notify_all()

    def read(self, sample: int) -> Record:
        """The record, from the cache, from who is just reading it, or from the source."""
        until = time.monotonic() + 2 * self._seconds
        while True:
            found = self._cache.get(sample)
            if found is not None:
                return found
            if self._failure is not None:
                raise self._failure
            with self._changed:
                if sample in self._waiting:  # no thread has got to it yet
                    self._waiting.discard(sample)
                    break
                if sample in self._doing:
                    self._changed.wait(1.0)
                elif not self._cache.claimed(sample):
                    break
            if self._cache.claimed(sample):
                time.sleep(PAUSE)
            if time.monotonic() > until:
                raise SourceError(f"no reader has got sample {sample} within {2 * self._seconds:.0f} s")
        return self._fetched(sample)

    @property
    def bytes(self) -> int:
        """That have come from the source."""
        return self._seen[0]

    @property
    def steps(self) -> int:
        """How many steps ahead there is room for."""
        mean = self._seen[0] // self._seen[1] if self._seen[1] else GUESS
        return max(1, min(FARTHEST, self._cache.room // max(1, mean * self._order.batch * self._queues)))

    def _there(self, sample: int) -> bool:
        return self._cache.has(sample) or self._done(sample)

    def _later(self, epoch: int, step: int, rank: int) -> Iterable[int]:
        """What is not planned yet of the steps after this one."""
        start = max(self._planned.get(rank, (0, 0)), (epoch, step + 1))
        at, end = (start[0] * self._order.steps + start[1], epoch * self._order.steps + step + 1 + self.steps)
        if at > end + FARTHEST:  # the training process has gone back
            at = epoch * self._order.steps + step + 1
        last = end if self._epochs is None else self._epochs * self._order.steps
        for number in range(at, min(end, last)):
            later, there = divmod(number, self._order.steps)
            indices = self._order.indices(epoch=later, step=there, rank=rank)
            yield from indices[self._cache.worker % self._workers :: self._workers].tolist()
        self._planned[rank] = divmod(max(at, end), self._order.steps)

    def _fetched(self, sample: int) -> Record:
        self._cache.claim(sample)
        try:
            record = self._read(sample)
            self._cache.put(sample, record)
        finally:
            self._cache.unclaim(sample)
        if isinstance(record.data, bytes):
            self._seen[0] += len(record.data)
            self._seen[1] += 1
        return record

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                sample = self._queue.popleft()
                if sample not in self._waiting:
                    continue  # whoever needed it did not wait for us
                self._waiting.discard(sample)
                if self._cache.has(sample) or self._cache.claimed(sample):
                    continue
                self._doing.add(sample)
            try:
                self._fetched(sample)
            except DamagedError:
                pass  # who needs it finds that out again, and says so
            except FeedError as error:
                self._failure = error
            except Exception as error:
                self._failure = SourceError(f"reading ahead failed: {type(error).__name__}: {error}")
            with self._changed:
                self._doing.discard(sample)
                self._changed.notify_all()
