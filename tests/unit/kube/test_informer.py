"""The informer comes back from every kind of interruption, from where it was when that is enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from regatta.kube.client import Client
from regatta.kube.informer import PodInformer
from regatta.kube.retry import Backoff
from regatta.kube.store import PodStore
from tests.unit.kube.conftest import Answer, FaultyServer, hangs_up, says, streams

JOB = ("team", "resnet")


def pod(version: int, *, worker: int = 0, ip: str = "") -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team",
            "name": f"resnet-1-{worker}",
            "uid": f"uid-{worker}",
            "resourceVersion": str(version),
            "labels": {"regatta.dev/job": "resnet", "regatta.dev/attempt": "1", "regatta.dev/worker": str(worker)},
        },
        "status": {"podIP": ip},
    }


def listed(version: int, *pods: dict[str, Any], more: str = "") -> Answer:
    metadata = {"resourceVersion": str(version)} | ({"continue": more} if more else {})
    return says(200, orjson.dumps({"metadata": metadata, "items": list(pods)}))


def event(kind: str, thing: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, "object": thing}) + b"\n"


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


EXPIRED = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
BROKEN = event("ERROR", {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"})


class Scene:
    """An informer at a server that follows a script, and what can be waited for."""

    def __init__(self, server: FaultyServer, informer: PodInformer, store: PodStore) -> None:
        self.server = server
        self.informer = informer
        self.store = store

    @property
    def asked(self) -> list[str]:
        """What was asked: "list", or the version that a watch went on from."""
        return [
            f"watch {request.query['resourceVersion']}" if "watch" in request.query else "list"
            for request in self.server.requests
        ]

    async def until_asked(self, *expected: str) -> None:
        await self.server.until(lambda: len(self.asked) >= len(expected))
        assert self.asked[: len(expected)] == list(expected)


@asynccontextmanager
async def following(server: FaultyServer, *script: Answer, silence: float = 0.2) -> AsyncIterator[Scene]:
    server.script = [*script, streams(then="silence")]
    store = PodStore(changed=lambda _: server.news.set())
    async with Client(server.connection) as client:
        informer = PodInformer(client, store, silence=silence, backoff=Backoff(first=0.01, cap=0.02))
        running = asyncio.create_task(informer.run())
        try:
            yield Scene(server, informer, store)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_it_lists_and_then_watches_from_there(server: FaultyServer) -> None:
    change = streams(event("MODIFIED", pod(12, ip="10.0.0.1")), event("ADDED", pod(13, worker=1)), then="silence")
    async with following(server, listed(11, pod(5)), change, silence=30) as scene:
        await scene.informer.wait_synced()
        await scene.until_asked("list", "watch 11")
        await server.until(lambda: len(scene.store) == 2)
        assert [(p.worker, p.ip) for p in scene.store.pods(JOB)] == [(0, "10.0.0.1"), (1, "")]


async def test_a_long_list_is_read_page_by_page(server: FaultyServer) -> None:
    pages = (listed(11, pod(5), more="next"), listed(11, pod(6, worker=1)))
    async with following(server, *pages) as scene:
        await scene.informer.wait_synced()
        assert len(scene.store) == 2
        assert server.requests[1].query["continue"] == "next"


async def test_a_page_that_came_too_late_makes_the_list_begin_anew(server: FaultyServer) -> None:
    late = says(410, orjson.dumps({"kind": "Status", "code": 410, "reason": "Expired"}))
    async with following(server, listed(11, pod(5), more="next"), late, listed(20, pod(6, worker=1))) as scene:
        await scene.until_asked("list", "list", "list", "watch 20")
        assert [p.worker for p in scene.store.pods(JOB)] == [1]


async def test_a_silent_stream_is_taken_up_again_where_it_was(server: FaultyServer) -> None:
    silent = streams(event("MODIFIED", pod(12)), bookmark(17), then="silence")
    async with following(server, listed(11, pod(5)), silent) as scene:
        await scene.until_asked("list", "watch 11", "watch 17")


async def test_a_second_silence_in_a_row_makes_a_new_list(server: FaultyServer) -> None:
    silent = streams(then="silence")
    async with following(server, listed(11, pod(5)), silent, silent, listed(30)) as scene:
        await scene.until_asked("list", "watch 11", "watch 11", "list", "watch 30")
        assert len(scene.store) == 0


async def test_a_stream_that_swallows_news_is_believed_again_only_when_it_tells_something(
    server: FaultyServer,
) -> None:
    silent, talks = streams(then="silence"), streams(bookmark(40), then="silence")
    lists = [listed(30, pod(29)), listed(31)]
    async with following(server, listed(11), silent, silent, lists[0], silent, lists[1], talks) as scene:
        (pulse,) = scene.informer.pulses
        await scene.until_asked("list", "watch 11", "watch 11", "list", "watch 30", "list", "watch 31")
        silent_since = asyncio.get_running_loop().time() - pulse.silent_seconds
        assert pulse.silent_seconds >= 3 * 0.2  # it began anew three times, and was listed twice
        assert pulse.idle_seconds < pulse.silent_seconds
        server.script = [streams(then="silence")]
        await scene.until_asked("list", "watch 11", "watch 11", "list", "watch 30", "list", "watch 31", "watch 40")
        heard_at = asyncio.get_running_loop().time() - pulse.silent_seconds
        assert heard_at > silent_since + 3 * 0.2


async def test_a_silent_stream_is_believed_where_a_list_shows_that_there_was_nothing_to_tell(
    server: FaultyServer,
) -> None:
    silent = streams(then="silence")
    script = (listed(11, pod(5)), silent, silent, listed(30, pod(5)), silent, silent, listed(40, pod(5)))
    async with following(server, *script) as scene:
        (pulse,) = scene.informer.pulses
        await scene.until_asked("list", "watch 11", "watch 11", "list", "watch 30")
        first_heard_at = asyncio.get_running_loop().time() - pulse.silent_seconds
        await scene.until_asked("list", "watch 11", "watch 11", "list", "watch 30", "watch 30", "list", "watch 40")
        heard_at = asyncio.get_running_loop().time() - pulse.silent_seconds
        assert heard_at >= first_heard_at + 2 * 0.2 * 0.9


async def test_a_cut_stream_is_taken_up_again_where_it_was(server: FaultyServer) -> None:
    async with following(server, listed(11), streams(event("ADDED", pod(12)), then="cut"), hangs_up) as scene:
        await scene.until_asked("list", "watch 11", "watch 12", "watch 12")


async def test_a_version_the_server_no_longer_knows_makes_a_new_list(server: FaultyServer) -> None:
    async with following(server, listed(11, pod(5)), streams(EXPIRED), listed(30)) as scene:
        await scene.until_asked("list", "watch 11", "list", "watch 30")
        assert len(scene.store) == 0


async def test_so_does_a_refused_watch(server: FaultyServer) -> None:
    gone = says(410, b'{"kind":"Status","code":410,"reason":"Expired"}')
    async with following(server, listed(11), gone, listed(30)) as scene:
        await scene.until_asked("list", "watch 11", "list", "watch 30")


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param(BROKEN, id="an error event"),
        pytest.param(b"not json\n", id="no JSON"),
        pytest.param(b"[]\n", id="no object"),
        pytest.param(b'{"type":"ADDED"}\n', id="no thing"),
    ],
)
async def test_rubbish_in_the_stream_is_survived(server: FaultyServer, rubbish: bytes) -> None:
    async with following(server, listed(11), streams(rubbish), listed(30), listed(31)) as scene:
        await scene.until_asked("list", "watch 11")
        await server.until(lambda: len(scene.asked) == 4)


async def test_an_unknown_kind_of_event_is_passed_over(server: FaultyServer) -> None:
    stream = streams(event("SURPRISE", {}), event("ADDED", pod(12)), then="silence")
    async with following(server, listed(11), stream) as scene:
        await scene.until_asked("list", "watch 11", "watch 12")
        assert len(scene.store) == 1


async def test_a_server_that_hangs_up_at_once_is_asked_with_growing_pauses(server: FaultyServer) -> None:
    server.script = [listed(11), streams()]
    async with Client(server.connection) as client:
        informer = PodInformer(client, PodStore(changed=lambda _: None), backoff=Backoff(first=0.02, cap=10))
        running = asyncio.create_task(informer.run())
        began = asyncio.get_running_loop().time()
        await server.until(lambda: len(server.requests) == 6)
        took = asyncio.get_running_loop().time() - began
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert took >= (0.02 + 0.04 + 0.08 + 0.16) / 2


async def test_a_stream_that_only_fails_is_told_apart_from_a_stuck_one(server: FaultyServer) -> None:
    async with following(server, says(403, b"no")) as scene:
        server.script = [says(403, b"no")]
        await server.until(lambda: len(scene.asked) >= 4)
        (pulse,) = scene.informer.pulses
        assert pulse.idle_seconds < pulse.silent_seconds
        assert not scene.informer.synced


async def test_a_refresh_reads_everything_while_the_watch_goes_on(server: FaultyServer) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        watch = "watch" in request.query
        return await (streams(then="silence") if watch else listed(40, pod(39, worker=3)))(request)

    async with following(server, listed(11, pod(5)), silence=30) as scene:
        await scene.until_asked("list", "watch 11")
        server.script = [answer]
        await scene.informer.refresh()
        assert [p.worker for p in scene.store.pods(JOB)] == [3]
        assert scene.asked == ["list", "watch 11", "list"]
