"""What a user's pod says of its progress is checked, and nothing it does holds the operator up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from regatta.telemetry.progress import MAX_BODY, ProgressPoller, Target, read_progress
from tests.builders import NOW

KEY = ("team", "a")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param({"step": 5, "totalSteps": 20}, (5, 20, 0.25), id="steps"),
        pytest.param({"step": 5}, (5, None, None), id="no total"),
        pytest.param({"step": 5, "totalSteps": 0}, (5, None, None), id="a total of nothing"),
        pytest.param({"step": 30, "totalSteps": 20}, (30, None, None), id="more than all"),
        pytest.param({"step": 5, "totalSteps": 20, "fraction": 0.5}, (5, 20, 0.5), id="its own fraction"),
        pytest.param({"step": 5, "fraction": 1.5}, (5, None, None), id="a fraction above one"),
        pytest.param({"step": 5, "totalSteps": True}, (5, None, None), id="a truth is no number"),
        pytest.param({"fraction": 0.5, "step": -1}, (None, None, 0.5), id="a negative step"),
    ],
)
def test_what_can_be_believed_is_taken(told: dict[str, Any], expected: tuple[Any, ...]) -> None:
    progress = read_progress(orjson.dumps(told), now=NOW)
    assert progress is not None
    assert (progress.step, progress.total_steps, progress.fraction) == expected
    assert progress.updated_at == NOW


@pytest.mark.parametrize(
    "body",
    [b"", b"rubbish", b"[]", b"null", b"{}", b'{"step":"5"}', b'{"step":1e400}', b'{"step":9999999999999999999}',
     b'{"step":null,"epoch":-1,"fraction":2}'],
)  # fmt: skip
def test_what_cannot_be_believed_is_nothing(body: bytes) -> None:
    assert read_progress(body, now=NOW) is None


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Trainer:
    """A pod's port as a user's program may treat it."""

    def __init__(self) -> None:
        self.answer: Answer = self.step(1)
        self.asked = 0
        self.port = 0

    @staticmethod
    def step(number: int) -> Answer:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response({"step": number, "totalSteps": 100})

        return answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        return await self.answer(request)


@pytest.fixture
async def trainer() -> AsyncIterator[Trainer]:
    here = Trainer()
    app = web.Application()
    app.router.add_get("/progress", here.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here.port = runner.addresses[0][1]
    yield here
    await runner.cleanup()


class Round:
    """A poller with a clock of its own and one running job."""

    def __init__(self, trainer: Trainer) -> None:
        self.now = 100.0
        self.targets = [Target(KEY, "uid-1", "127.0.0.1")]
        self.changed: list[tuple[str, str]] = []
        self.poller = ProgressPoller(
            targets=lambda: self.targets,
            changed=self.changed.append,
            port=trainer.port,
            read_seconds=0.3,
            clock=lambda: self.now,
        )

    async def __call__(self, *, later: float = 5.0) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
            self.now += later
            await self.poller.round(session)


async def test_progress_is_read_and_a_change_is_told_once(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    await read()
    assert read.changed == [KEY]
    trainer.answer = trainer.step(2)
    await read()
    assert read.changed == [KEY, KEY]
    progress = read.poller.latest(KEY)
    assert progress is not None
    assert (progress.step, progress.fraction) == (2, 0.02)


async def test_a_job_is_not_asked_more_often_than_its_period(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    await read(later=4.9)
    assert trainer.asked == 1
    await read(later=0.2)
    assert trainer.asked == 2


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 4096)


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def huge(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"step":7}' + b" " * MAX_BODY)


async def elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/progress?again")


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [endless, silent, huge, elsewhere, dripping], ids=lambda answer: answer.__name__)
async def test_a_pod_that_answers_badly_costs_a_bounded_time_and_changes_nothing(
    trainer: Trainer, answer: Answer
) -> None:
    read = Round(trainer)
    await read()
    trainer.answer = answer
    async with asyncio.timeout(2):
        await read()
    assert trainer.asked == 2
    progress = read.poller.latest(KEY)
    assert progress is not None
    assert progress.step == 1


async def test_a_new_attempts_worker_starts_anew(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    read.targets = [Target(KEY, "uid-2", "not an address")]
    await read()
    assert read.poller.latest(KEY) is None


async def test_a_job_that_runs_no_more_is_forgotten(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    read.targets = []
    await read()
    assert read.poller.latest(KEY) is None
