"""Whatever goes wrong with one key delays that key alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from regatta.control.queue import KeyedQueue
from regatta.control.reconcile import Turn
from regatta.control.workers import resync, work
from regatta.kube.errors import NotLeading, TooManyRequests, Unavailable

pytestmark = pytest.mark.looptime

A, B = ("team", "a"), ("team", "b")
Key = tuple[str, str]


class Tally:
    def __init__(self) -> None:
        self.results: list[str] = []
        self.reasons: list[str] = []
        self.confessed: list[tuple[Key, str]] = []

    def reconciled(self, *, result: str, seconds: float) -> None:
        self.results.append(result)

    def failed(self, reason: str) -> None:
        self.reasons.append(reason)

    async def confess(self, key: Key, error: BaseException) -> None:
        self.confessed.append((key, str(error)))
        raise RuntimeError("another bug")


async def worked(
    queue: KeyedQueue[Key], reconcile: Callable[[Key], Awaitable[Turn]], *, seconds: float, workers: int = 1
) -> Tally:
    """What came of working on the queue for so many seconds."""
    tally = Tally()
    asyncio.get_running_loop().call_later(seconds, queue.close)
    await asyncio.gather(*(work(queue, reconcile, confess=tally.confess, observer=tally) for _ in range(workers)))
    return tally


async def test_a_key_comes_back_when_its_turn_says(looptime: float) -> None:
    times: list[float] = []

    async def reconcile(_: Key) -> Turn:
        times.append(float(looptime))
        return Turn(result="ok", requeue_after=10 if len(times) < 3 else None)

    queue: KeyedQueue[Key] = KeyedQueue()
    queue.add(A)
    await worked(queue, reconcile, seconds=100)
    assert times == [0, 10, 20]


@pytest.mark.parametrize("error", [Unavailable("away"), RuntimeError("a bug")], ids=["api", "bug"])
async def test_a_failing_key_is_tried_again_and_others_go_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    turns: list[Key] = []

    async def reconcile(key: Key) -> Turn:
        turns.append(key)
        if key == A and turns.count(A) < 3:
            raise error
        return Turn(result="ok")

    queue: KeyedQueue[Key] = KeyedQueue()
    queue.add(A)
    queue.add(B)
    with caplog.at_level(logging.CRITICAL):
        tally = await worked(queue, reconcile, seconds=60)
    assert turns == [A, B, A, A]
    assert tally.results == ["error", "ok", "error", "ok"]
    assert tally.reasons == [type(error).__name__] * 2
    assert tally.confessed == ([(A, "a bug")] * 2 if isinstance(error, RuntimeError) else [])


async def test_a_busy_server_is_given_the_time_it_asks_for(looptime: float) -> None:
    times: list[float] = []

    async def reconcile(_: Key) -> Turn:
        times.append(float(looptime))
        if len(times) == 1:
            raise TooManyRequests("slow down", retry_after=30)
        return Turn(result="ok")

    queue: KeyedQueue[Key] = KeyedQueue()
    queue.add(A)
    await worked(queue, reconcile, seconds=100)
    assert times == [0, 30]


async def test_two_workers_never_have_the_same_key() -> None:
    busy: set[Key] = set()

    async def reconcile(key: Key) -> Turn:
        assert key not in busy
        busy.add(key)
        queue.add(key)
        await asyncio.sleep(1)
        busy.remove(key)
        return Turn(result="ok")

    queue: KeyedQueue[Key] = KeyedQueue()
    queue.add(A)
    queue.add(B)
    tally = await worked(queue, reconcile, seconds=10, workers=8)
    assert set(tally.results) == {"ok"}


async def test_a_turn_that_began_before_the_close_is_finished() -> None:
    ended = []

    async def reconcile(key: Key) -> Turn:
        await asyncio.sleep(5)
        ended.append(key)
        return Turn(result="ok")

    queue: KeyedQueue[Key] = KeyedQueue()
    queue.add(A)
    await worked(queue, reconcile, seconds=1)
    assert ended == [A]


async def test_every_key_is_looked_at_now_and_then() -> None:
    seen: list[Key] = []

    async def reconcile(key: Key) -> Turn:
        seen.append(key)
        return Turn(result="ok")

    queue: KeyedQueue[Key] = KeyedQueue()
    net = asyncio.create_task(resync(queue, lambda: [A, B], seconds=600))
    await worked(queue, reconcile, seconds=3600)
    net.cancel()
    assert 5 <= seen.count(A) <= 8
    assert 5 <= seen.count(B) <= 8


async def held_back(after: float) -> None:
    """A write that is refused after a while, or as soon as it is cancelled."""
    try:
        await asyncio.sleep(after)
    finally:
        raise NotLeading("a write was held back")


async def test_a_worker_that_is_told_to_end_ends_though_its_work_fails_at_that_moment() -> None:
    async def reconcile(_: Key) -> Turn:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(held_back(after=1000))
        return Turn(result="ok")

    queue: KeyedQueue[Key] = KeyedQueue()
    queue.add(A)
    tally = Tally()
    working = asyncio.create_task(work(queue, reconcile, confess=tally.confess, observer=tally))
    await asyncio.sleep(1)
    queue.close()
    working.cancel()
    done, _ = await asyncio.wait({working}, timeout=10)
    assert done == {working}
    assert tally.reasons == ["NotLeading"]


async def test_many_writes_that_were_held_back_are_one_line_in_the_log_and_nothing_in_the_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def reconcile(_: Key) -> Turn:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(held_back(after=1))
        return Turn(result="ok")

    queue: KeyedQueue[Key] = KeyedQueue()
    queue.add(A)
    with caplog.at_level(logging.INFO):
        tally = await worked(queue, reconcile, seconds=1.1)
    assert (tally.reasons, tally.confessed) == (["NotLeading"], [])
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("INFO", None)]
