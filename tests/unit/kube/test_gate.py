"""Places are shared fairly between flows, and none is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.kube.gate import FairGate


async def order_of_places(gate: FairGate, wishes: list[str]) -> list[str]:
    """The flows in the order in which they get a place, when each place is given back at once."""
    got: list[str] = []

    async def wish(flow: str) -> None:
        async with gate.place(flow):
            got.append(flow)

    await gate.acquire("holder")
    tasks = [asyncio.create_task(wish(flow)) for flow in wishes]
    await asyncio.sleep(0)
    gate.release()
    await asyncio.gather(*tasks)
    return got


async def test_a_small_flow_does_not_wait_for_the_end_of_a_large_one() -> None:
    got = await order_of_places(FairGate(1), ["large"] * 100 + ["small"] * 2)
    assert got[:5] == ["large", "small", "large", "small", "large"]


async def test_no_more_hold_a_place_than_there_are() -> None:
    gate = FairGate(3)
    holding = 0
    most = 0

    async def hold(flow: int) -> None:
        nonlocal holding, most
        async with gate.place(flow % 4):
            holding += 1
            most = max(most, holding)
            await asyncio.sleep(0)
            holding -= 1

    await asyncio.gather(*(hold(number) for number in range(50)))
    assert most == 3


async def test_whoever_gives_up_waiting_leaves_no_hole() -> None:
    gate = FairGate(1)
    await gate.acquire("holder")
    waiting = [asyncio.create_task(gate.acquire(flow)) for flow in "aab"]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert gate.waiting == 2
    gate.release()
    await waiting[1]
    gate.release()
    await waiting[2]


async def test_a_place_given_to_someone_who_is_being_cancelled_goes_to_the_next() -> None:
    gate = FairGate(1)
    await gate.acquire("holder")
    first, second = (asyncio.create_task(gate.acquire(flow)) for flow in "ab")
    await asyncio.sleep(0)
    gate.release()
    first.cancel()
    await asyncio.wait_for(second, 1)
    with pytest.raises(asyncio.CancelledError):
        await first


@given(
    limit=st.integers(1, 3),
    steps=st.lists(st.tuples(st.sampled_from(["enter", "leave", "cancel"]), st.integers(0, 2)), max_size=40),
)
def test_after_all_have_gone_every_place_is_free(limit: int, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        gate = FairGate(limit)
        tasks: list[asyncio.Task[None]] = []
        for step, flow in steps:
            held = [task for task in tasks if task.done() and not task.cancelled()]
            waiting = [task for task in tasks if not task.done()]
            if step == "enter":
                tasks.append(asyncio.create_task(gate.acquire(flow)))
            elif step == "leave" and held:
                tasks.remove(held[0])
                gate.release()
            elif step == "cancel" and waiting:
                waiting[flow % len(waiting)].cancel()
            await asyncio.sleep(0)
        for task in tasks:
            if task.done() and not task.cancelled():
                gate.release()
            else:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        for task in tasks:
            assert task.done()
        for _ in range(limit):
            await asyncio.wait_for(gate.acquire("last"), 1)
        assert gate.waiting == 0

    with asyncio.Runner() as runner:
        runner.run(run())


async def test_a_gate_is_calm_while_at_most_a_quarter_of_it_is_taken() -> None:
    gate = FairGate(8)
    calm = [gate.calm.is_set()]
    for _ in range(3):
        await gate.acquire("a")
        calm.append(gate.calm.is_set())
    gate.release()
    calm.append(gate.calm.is_set())
    assert calm == [True, True, True, False, True]
