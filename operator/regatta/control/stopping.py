"""Being told to stop: a flag that signals set, and work that gives way to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["Stop", "Stopped"]

T = TypeVar("T")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):  # noqa: N818 - an order, not an error
    """What was asked for will not come: the process is to stop."""


class Stop:
    """The order to stop."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        """Order to stop."""
        self._told.set()

    async def wait(self) -> None:
        """Return when the order is there."""
        await self._told.wait()

    def catch_signals(self) -> None:
        """Have SIGTERM and SIGINT give the order; to be repeated after a library has taken them."""
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self.tell)

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; Stopped, and the work cancelled, when the order comes first."""
        task = asyncio.create_task(work)
        told = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Stopped
            return task.result()
        finally:
            task.cancel()
            told.cancel()
            await asyncio.gather(task, told, return_exceptions=True)
