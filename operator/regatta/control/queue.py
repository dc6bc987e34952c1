"""A queue of keys for level-triggered work: each key is waiting at most once and handled by at most one worker.

Adding a key that is being handled makes it run once more afterwards, so no change is ever missed. A change burst (all
pods of a job becoming ready) is worth one run, not one a pod: `touch` makes runs of one key at least `spacing` apart.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from regatta.kube.retry import Backoff

__all__ = ["KeyedQueue", "QueueClosed"]

K = TypeVar("K", bound=Hashable)

LONGEST_SPACING: Final = 5.0
"""`spacing` never asks for more."""


class QueueClosed(Exception):  # noqa: N818 - an end, not an error
    """There is nothing more to do."""


class KeyedQueue(Generic[K]):
    """Keys to work on. One event loop only; nothing here blocks but `get`."""

    def __init__(
        self,
        *,
        backoff: Backoff = Backoff(first=0.2, cap=60.0),  # noqa: B008 - a frozen value
        spacing: Callable[[], float] = lambda: 0.1,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._backoff = backoff
        self._spacing = spacing
        self._waited = waited
        self._ready: deque[K] = deque()
        self._dirty: dict[K, float] = {}
        """Keys that need a run, with the time since when; those not being handled stand in `_ready` too."""
        self._handled: set[K] = set()
        self._failures: dict[K, int] = {}
        self._started: dict[K, float] = {}
        """When the last run of a key began, for as long as that spaces the next one."""
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._pushed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def scheduled(self) -> int:
        """How many keys wait for their time."""
        return len(self._due)

    @property
    def handled(self) -> int:
        """How many keys are being worked on."""
        return len(self._handled)

    def add(self, key: K) -> None:
        """Have the key worked on as soon as there is a worker; once more if it is being worked on."""
        if self._closed or key in self._dirty:
            return
        self._dirty[key] = self._now()
        if key not in self._handled:
            self._offer(key)

    def touch(self, key: K) -> None:
        """Like `add`, but not sooner than `spacing` after the key's last run began."""
        began = self._started.get(key)
        self.add_after(key, 0.0 if began is None else began + self._spacing() - self._now())

    def add_after(self, key: K, seconds: float) -> None:
        """`add` the key in so many seconds; an earlier time already set for it stays."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._now() + seconds
        if self._closed or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        self._pushed += 1
        heapq.heappush(self._heap, (due, self._pushed, key))
        self._wind()

    def add_failed(self, key: K, *, at_least: float = 0.0) -> float:
        """`add` the key after a pause that grows with its failures in a row; return the pause."""
        self._failures[key] = self._failures.get(key, 0) + 1
        pause = max(at_least, self._backoff.pause(self._failures[key]))
        self.add_after(key, pause)
        return pause

    def forget_failures(self, key: K) -> None:
        """The key went well: its next failure is a first one."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key to work on; `done` must follow. QueueClosed once the queue is closed.

        Taking a key drops its timer: the run decides anew when the next one is due.
        """
        while not self._closed and not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and self._ready:
                    self._wake()  # the key offered to us goes to somebody else
                raise
        if self._closed:
            raise QueueClosed
        key = self._ready.popleft()
        now = self._now()
        self._waited(now - self._dirty.pop(key))
        self._due.pop(key, None)
        self._handled.add(key)
        self._started[key] = now
        return key

    def done(self, key: K) -> None:
        """The work on the key has ended, well or not."""
        self._handled.discard(key)
        if key in self._dirty:
            self._offer(key)
        elif key in self._started:
            asyncio.get_running_loop().call_later(LONGEST_SPACING, self._unspace, key, self._started[key])

    def close(self) -> None:
        """Hand out no more keys; what is being worked on may finish."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            self._wake()

    def _offer(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _unspace(self, key: K, began: float) -> None:
        if self._started.get(key) == began and key not in self._handled:
            del self._started[key]

    def _wind(self) -> None:
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        # uvloop's handle has no `when` for what is due at once, so the time is kept here.
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._now()
        while self._heap:
            due, _, key = self._heap[0]
            current = self._due.get(key) == due
            if current and due > now:
                break
            heapq.heappop(self._heap)
            if current:
                del self._due[key]
                self.add(key)
        if self._heap and not self._closed:
            self._wind()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
