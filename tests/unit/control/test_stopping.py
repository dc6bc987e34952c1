"""An order to stop ends what waits, and nothing that has already ended."""

from __future__ import annotations

import asyncio

import pytest

from regatta.control.stopping import Stop, Stopped

pytestmark = pytest.mark.looptime


async def soon() -> str:
    await asyncio.sleep(1)
    return "done"


async def test_work_that_ends_first_gives_its_result() -> None:
    assert await Stop().unless(soon()) == "done"


async def test_an_order_ends_the_work(looptime: float) -> None:
    stop = Stop()
    asyncio.get_running_loop().call_later(0.5, stop.tell)
    with pytest.raises(Stopped):
        await stop.unless(soon())
    assert looptime == 0.5


async def test_an_error_of_the_work_is_its_own() -> None:
    async def fails() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await Stop().unless(fails())
