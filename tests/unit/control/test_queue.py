"""The queue's promises, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from regatta.control.queue import KeyedQueue, QueueClosed
from regatta.kube.retry import Backoff

pytestmark = pytest.mark.looptime


async def drained(queue: KeyedQueue[str]) -> list[str]:
    """Take and finish all keys that are ready now."""
    taken = []
    while len(queue):
        key = await queue.get()
        queue.done(key)
        taken.append(key)
    return taken


async def test_a_key_added_often_is_handed_out_once() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert await drained(queue) == ["a", "b"]


async def test_a_key_added_while_handled_runs_once_more_and_never_twice_at_a_time() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await drained(queue) == ["a"]


async def test_get_waits_for_the_first_key(looptime: float) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    asyncio.get_running_loop().call_later(3, queue.add, "a")
    assert await queue.get() == "a"
    assert looptime == 3


async def test_each_waiting_worker_gets_a_key_of_its_own() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in "abc":
        queue.add(key)
    assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]


async def test_a_worker_cancelled_while_a_key_is_offered_to_it_passes_the_key_on() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


async def test_add_after_hands_the_key_out_at_its_time(looptime: float) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add_after("late", 10)
    queue.add_after("soon", 2)
    assert [await queue.get(), looptime == 2, await queue.get(), looptime == 10] == ["soon", True, "late", True]


async def test_the_earliest_of_several_times_counts(looptime: float) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add_after("a", 5)
    queue.add_after("a", 9)
    queue.add_after("a", 3)
    await queue.get()
    assert looptime == 3
    queue.done("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


async def test_taking_a_key_drops_its_timer() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add_after("a", 5)
    queue.add("a")
    assert await drained(queue) == ["a"]
    assert queue.scheduled == 0
    await asyncio.sleep(10)
    assert len(queue) == 0


async def test_touches_of_one_key_are_spaced_and_the_last_is_never_lost(looptime: float) -> None:
    queue: KeyedQueue[str] = KeyedQueue(spacing=lambda: 0.5)
    runs = []

    async def work() -> None:
        while True:
            key = await queue.get()
            runs.append(float(looptime))
            queue.done(key)

    worker = asyncio.create_task(work())
    for _ in range(10):
        queue.touch("a")
        await asyncio.sleep(0.1)
    await asyncio.sleep(5)
    worker.cancel()
    assert runs == pytest.approx([0.0, 0.5, 1.0])


async def test_add_does_not_wait_for_the_spacing(looptime: float) -> None:
    queue: KeyedQueue[str] = KeyedQueue(spacing=lambda: 0.5)
    queue.touch("a")
    assert await drained(queue) == ["a"]
    queue.add("a")
    assert await drained(queue) == ["a"]
    assert looptime == 0


async def test_pauses_grow_with_failures_in_a_row_and_begin_anew_after_a_success() -> None:
    queue: KeyedQueue[str] = KeyedQueue(backoff=Backoff(first=1, factor=2, cap=4))
    pauses = [queue.add_failed("a") for _ in range(4)]
    for pause, longest in zip(pauses, (1, 2, 4, 4), strict=True):
        assert longest / 2 <= pause <= longest
    queue.forget_failures("a")
    assert queue.add_failed("a") <= 1


async def test_a_failure_waits_at_least_as_long_as_the_server_asks(looptime: float) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add_failed("a", at_least=30)
    await queue.get()
    assert looptime == 30


async def test_a_closed_queue_hands_out_nothing_more_but_lets_begun_work_finish() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    begun = await queue.get()
    queue.add("b")
    waiting = asyncio.create_task(KeyedQueue.get(queue))
    assert await waiting == "b"
    idle = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after("c", 1)
    queue.close()
    with pytest.raises(QueueClosed):
        await idle
    queue.add("d")
    queue.done(begun)
    with pytest.raises(QueueClosed):
        await queue.get()


async def test_the_time_a_key_waited_is_told() -> None:
    waits: list[float] = []
    queue: KeyedQueue[str] = KeyedQueue(waited=waits.append)
    queue.add("a")
    await asyncio.sleep(2)
    await queue.get()
    assert waits == [2]


@pytest.mark.looptime(False)
def test_times_that_are_over_before_they_are_set_work_on_the_operators_own_loop() -> None:
    async def run() -> list[str]:
        queue: KeyedQueue[str] = KeyedQueue()
        keys = [f"{number}" for number in range(100)]
        for number, key in enumerate(keys):
            queue.add_after(key, 1e-9 * (100 - number))
        taken: list[str] = []
        async with asyncio.timeout(5):
            while len(taken) < len(keys):
                taken.append(await queue.get())
                queue.done(taken[-1])
        return sorted(taken, key=int)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == [f"{number}" for number in range(100)]
