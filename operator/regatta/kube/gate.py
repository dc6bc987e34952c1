"""Bounded parallelism that is fair between flows: whoever wants much never starves whoever wants little."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

__all__ = ["FairGate"]


class FairGate:
    """At most `limit` holders at a time; free places are given to the waiting flows in turn, not to the longest queue.

    A flow is a job: one that creates a thousand pods and one that creates two get places alternately.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("a gate needs at least one place")
        self._limit = self._free = limit
        self._count = 0
        self.calm = asyncio.Event()
        """Set while at most a quarter of the places is taken."""
        self.calm.set()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many are waiting, over all flows."""
        return self._count

    @asynccontextmanager
    async def place(self, flow: Hashable) -> AsyncIterator[None]:
        """Hold a place for the time of the block."""
        await self.acquire(flow)
        try:
            yield
        finally:
            self.release()

    async def acquire(self, flow: Hashable) -> None:
        """Wait for a place in the flow's own line."""
        if self._free > 0:
            self._free -= 1
            if (self._limit - self._free) * 4 > self._limit:
                self.calm.clear()
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(flow, deque()).append(place)
        self._count += 1
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                # The place was given to us in the very moment we were cancelled: pass it on.
                self.release()
            else:
                self._forget(flow, place)
            raise

    def release(self) -> None:
        """Give the place to the next flow in turn."""
        while self._waiting:
            flow, line = next(iter(self._waiting.items()))
            place = line.popleft()
            self._count -= 1
            if line:
                self._waiting.move_to_end(flow)
            else:
                del self._waiting[flow]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
        if (self._limit - self._free) * 4 <= self._limit:
            self.calm.set()

    def _forget(self, flow: Hashable, place: asyncio.Future[None]) -> None:
        line = self._waiting.get(flow)
        if line is None or place not in line:
            return
        line.remove(place)
        self._count -= 1
        if not line:
            del self._waiting[flow]
