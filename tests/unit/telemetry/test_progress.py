"""What a user's pod says of its crew is checked, and nothing it does holds the operator up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from regatta.api.status import Progress
from regatta.plan.report import CrewFailure, CrewTime, CrewWords
from regatta.telemetry.progress import MAX_BODY, ProgressPoller, Target, read_words
from tests.builders import NOW, UID, seconds

KEY = ("team", "a")
TARGET = Target(key=KEY, job_uid=UID, attempt=3, pod_uid="uid-1", ip="127.0.0.1")
HEAD = {"uid": UID, "attempt": 3, "worker": 0, "generation": 1, "restarts": 0}
FAILURE = {
    "generation": 1,
    "cause": "UserError",
    "worker": 1,
    "rank": 5,
    "exitCode": 3,
    "message": "rank 5 on worker 1 exited with code 3",
    "at": "2026-01-02T03:00:00Z",
    "lostSeconds": 2.5,
}


def words(**told: Any) -> CrewWords:
    found = read_words(orjson.dumps(HEAD | told), target=TARGET, now=NOW)
    assert found is not None
    return found


def progress_of(found: CrewWords | None) -> Progress:
    assert found is not None
    assert found.progress is not None
    return found.progress


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
    progress = progress_of(words(**told))
    assert (progress.step, progress.total_steps, progress.fraction) == expected


@pytest.mark.parametrize(
    "told",
    [{}, {"step": "5"}, {"step": 9999999999999999999}, {"step": None, "epoch": -1, "fraction": 2}, {"epoch": [1]}],
    ids=str,
)
def test_progress_that_cannot_be_believed_is_none(told: dict[str, Any]) -> None:
    assert words(**told).progress is None


@pytest.mark.parametrize(
    "body",
    [b"", b"rubbish", b"[]", b"null", b"{}", b"\xff", b"[" * 60000, b'{"step":5}', b'{"step":1e400}',
     orjson.dumps(HEAD | {"uid": "another job's"}),
     orjson.dumps(HEAD | {"attempt": 2}),
     orjson.dumps(HEAD | {"worker": 1})],
    ids=lambda body: body[:30],
)  # fmt: skip
def test_an_answer_that_is_not_of_this_crew_is_nothing(body: bytes) -> None:
    assert read_words(body, target=TARGET, now=NOW) is None


def test_restarts_and_failures_are_told_with_their_cause_and_cost() -> None:
    found = words(generation=2, restarts=1, failures=[FAILURE])
    assert (found.heard_at, found.attempt, found.generation, found.restarts) == (NOW, 3, 2, 1)
    assert found.failures == (
        CrewFailure(
            generation=1,
            cause="UserError",
            worker=1,
            rank=5,
            exit_code=3,
            message="rank 5 on worker 1 exited with code 3",
            at=NOW.replace(minute=0, second=0),
            lost_seconds=2.5,
        ),
    )


def test_the_time_of_the_last_step_is_reckoned_by_our_own_clock() -> None:
    assert progress_of(words(step=5, stepAgeSeconds=90.4)).updated_at == NOW - seconds(91)  # down to the second


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Trainer:
    """A pod's port as a user's program may treat it."""

    def __init__(self) -> None:
        self.answer: Answer = self.step(1)
        self.asked = 0
        self.port = 0

    @staticmethod
    def step(number: int, *, age: float = 0.0, **told: Any) -> Answer:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response(HEAD | {"step": number, "totalSteps": 100, "stepAgeSeconds": age} | told)

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
        self.targets = [TARGET]
        self.changed: list[tuple[str, str]] = []
        self.poller = ProgressPoller(
            targets=lambda: self.targets,
            changed=self.changed.append,
            port=trainer.port,
            read_seconds=0.3,
            clock=lambda: self.now,
            now=lambda: NOW + seconds(self.now),
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
    progress = progress_of(read.poller.latest(KEY))
    assert (progress.step, progress.fraction) == (2, 0.02)


@pytest.mark.parametrize(
    "news",
    [
        {"generation": 2},
        {"restarts": 1},
        {"failures": [FAILURE | {"lostSeconds": None}]},
        {"failures": [FAILURE]},
        {"epoch": 1},
        {"pace": {"stepSeconds": 0.5}},
    ],
    ids=str,
)
async def test_whatever_happens_in_the_crew_is_news(trainer: Trainer, news: dict[str, Any]) -> None:
    read = Round(trainer)
    trainer.answer = trainer.step(1, failures=[FAILURE | {"generation": 0}])
    await read()
    trainer.answer = trainer.step(1, **news)
    await read()
    assert read.changed == [KEY, KEY]


async def test_a_pace_that_drifts_slowly_is_news_in_the_end(trainer: Trainer) -> None:
    read = Round(trainer)
    for step_seconds in (1.0, 1.03, 1.06, 1.09):
        trainer.answer = trainer.step(1, pace={"stepSeconds": step_seconds})
        await read()
    assert read.changed == [KEY, KEY]


async def test_an_answer_without_news_is_remembered_and_told_to_nobody(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    first = read.poller.latest(KEY)
    trainer.answer = trainer.step(1, age=5.3)
    await read()
    latest = read.poller.latest(KEY)
    assert first is not None
    assert latest == replace(first, heard_at=first.heard_at + seconds(5)), "the step is as old as it was"
    assert read.changed == [KEY]


async def test_the_same_step_done_again_is_a_later_step(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    trainer.answer = trainer.step(1, age=1.0)
    await read(later=60.0)
    latest = read.poller.latest(KEY)
    assert latest is not None
    assert progress_of(latest).updated_at == latest.heard_at - seconds(1)


async def test_progress_without_steps_is_as_old_as_the_knowledge_of_it(trainer: Trainer) -> None:
    read = Round(trainer)
    for _ in range(2):
        trainer.answer = trainer.step(1, step=None, stepAgeSeconds=None, epoch=0.5)
        await read()
    assert progress_of(read.poller.latest(KEY)).updated_at == NOW + seconds(105)


async def test_another_crews_answer_at_the_same_address_changes_nothing(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    trainer.answer = trainer.step(50, uid="another job's", restarts=3)
    await read()
    assert progress_of(read.poller.latest(KEY)).step == 1
    assert read.changed == [KEY]


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
    return web.Response(body=orjson.dumps(HEAD | {"step": 7}) + b" " * MAX_BODY)


async def elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/progress?again")


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


async def nonsense(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"[" * MAX_BODY)


async def refused(_: web.Request) -> web.StreamResponse:
    return web.json_response(HEAD | {"step": 7}, status=500)


@pytest.mark.parametrize(
    "answer",
    [endless, silent, huge, elsewhere, dripping, nonsense, refused],
    ids=lambda answer: answer.__name__,
)
async def test_a_pod_that_answers_badly_costs_a_bounded_time_and_changes_nothing(
    trainer: Trainer, answer: Answer
) -> None:
    read = Round(trainer)
    await read()
    trainer.answer = answer
    async with asyncio.timeout(2):
        await read()
    assert trainer.asked == 2
    latest = read.poller.latest(KEY)
    assert progress_of(latest).step == 1
    assert latest is not None
    assert latest.heard_at == NOW + seconds(105), "only an answer is heard"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\x00\xff rubbish\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: y\r\n", id="headers without end"),
        pytest.param(b"HTTP/1.1 200 " + b"k" * 9000, id="a line without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", id="a broken chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", id="a length that never comes"),
    ],
)
async def test_whatever_listens_at_a_pods_port_costs_a_bounded_time(trainer: Trainer, line: bytes) -> None:
    async def stranger(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for _ in range(100_000):
                writer.write(line)
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(stranger, "127.0.0.1", 0)
    trainer.port = server.sockets[0].getsockname()[1]
    read = Round(trainer)
    async with asyncio.timeout(2):
        await read()
    server.close()
    await asyncio.sleep(0.05)  # the stranger hears that nobody listens
    assert read.poller.latest(KEY) is None
    assert read.changed == []


async def test_a_pod_that_does_not_answer_is_asked_less_and_less_often_and_soon_again_when_it_does(
    trainer: Trainer,
) -> None:
    read = Round(trainer)
    good, trainer.answer = trainer.answer, silent
    asked = []
    for _ in range(12):
        await read(later=10.0)
        asked.append(trainer.asked)
    assert asked == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4]
    trainer.answer = good
    await read(later=60.0)
    await read(later=5.0)
    assert trainer.asked == 6


async def test_many_pods_that_hang_do_not_delay_one_that_answers_for_long(trainer: Trainer) -> None:
    """Sixteen are asked at a time, each for 0.3 s here, and after the first round only the one that answers."""
    read = Round(trainer)
    hanging = [replace(TARGET, key=("team", f"hangs-{number}"), ip="127.0.0.2") for number in range(64)]
    read.targets = [*hanging, TARGET]
    async with hangs("127.0.0.2", trainer.port), asyncio.timeout(5):
        await read()
        assert progress_of(read.poller.latest(KEY)).step == 1
        trainer.answer = trainer.step(2)
        began = asyncio.get_running_loop().time()
        await read(later=6.0)
        assert asyncio.get_running_loop().time() - began < 0.3
    assert progress_of(read.poller.latest(KEY)).step == 2


@contextlib.asynccontextmanager
async def hangs(host: str, port: int) -> AsyncIterator[None]:
    """A port whose connections are taken by the system, and by nobody else."""
    with socket.create_server((host, port), backlog=256):
        yield


async def test_time_that_passes_in_known_states_is_news_now_and_then(trainer: Trainer) -> None:
    read = Round(trainer)
    for elapsed in (100.0, 104.0, 109.0, 111.0):
        trainer.answer = trainer.step(1, time={"elapsed": elapsed, "seconds": {"step": elapsed}})
        await read()
    assert read.changed == [KEY, KEY]
    latest = read.poller.latest(KEY)
    assert latest is not None
    assert latest.time == CrewTime(elapsed=111.0, seconds={"step": 111.0})


async def test_a_new_attempts_worker_starts_anew(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    read.targets = [replace(TARGET, pod_uid="uid-2", ip="not an address")]
    await read()
    assert read.poller.latest(KEY) is None


async def test_a_job_that_runs_no_more_is_forgotten(trainer: Trainer) -> None:
    read = Round(trainer)
    await read()
    read.targets = []
    await read()
    assert read.poller.latest(KEY) is None
