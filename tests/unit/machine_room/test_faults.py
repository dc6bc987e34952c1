"""The fault proxy forwards what it is not told to spoil, and each fault is what its name says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from regatta.kube import config
from regatta.kube.client import Client
from regatta.kube.errors import ApiError, Conflict, Gone, TooManyRequests, Unavailable, error_from_status
from regatta.kube.resources import PODS
from regatta.kube.transport import Lane
from tests.cluster.machine_room.faults import (
    MENU,
    Call,
    Cut,
    Delay,
    Deny,
    Expire,
    Fault,
    LoseAnswer,
    LoseRequest,
    Mute,
    Refuse,
)
from tests.cluster.machine_room.proxy import FaultProxy

EVENT = {"type": "ADDED", "object": {"metadata": {"name": "a"}}}


class Server:
    """Remembers what it was asked to do, and has one endless watch."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs} {(await request.read()).decode()}".strip())
        if "watch" not in request.query:
            return web.json_response({"metadata": {"name": "a"}})
        response = web.StreamResponse()
        await response.prepare(request)
        line = json.dumps(EVENT).encode() + b"\n"
        # In two pieces: what is said after the first must not end up within this line.
        await response.write(line + line[:10])
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", one.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield one
    await runner.cleanup()


@asynccontextmanager
async def through(server: Server) -> AsyncIterator[tuple[FaultProxy, Client]]:
    proxy = FaultProxy(config.Connection(server=server.url))
    # Entering and leaving wait for the proxy's own loop, and it may need ours to end what is under way.
    await asyncio.to_thread(proxy.__enter__)
    try:
        async with Client(proxy.connection) as client:
            yield proxy, client
    finally:
        await asyncio.to_thread(proxy.__exit__, None, None, None)


async def create(client: Client) -> None:
    await client.create(PODS, namespace="team", body={"a": 1}, once=True)


async def watch(client: Client, *, silence: float, heard: asyncio.Event | None = None) -> None:
    """Follow until the end; an error event is an error."""
    async for lines in client.watch(PODS, namespace=None, params={"resourceVersion": "7"}, silence=silence):
        for line in lines:
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise error_from_status(event["object"])
            assert event == EVENT
            if heard is not None:
                heard.set()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/version", Call(verb="get")),
        ("GET", "/apis/regatta.dev/v1alpha1", Call(verb="get")),
        ("GET", "/api/v1/pods?limit=5", Call(verb="list", resource="pods")),
        ("GET", "/api/v1/pods?watch=true", Call(verb="watch", resource="pods")),
        ("POST", "/api/v1/namespaces", Call(verb="create", resource="namespaces")),
        ("DELETE", "/api/v1/namespaces/n", Call(verb="delete", resource="namespaces", name="n")),
        ("GET", "/api/v1/namespaces/n/pods/p", Call(verb="get", resource="pods", namespace="n", name="p")),
        (
            "PATCH",
            "/apis/regatta.dev/v1alpha1/namespaces/n/trainingjobs/j/status",
            Call(verb="patch", resource="trainingjobs", subresource="status", namespace="n", name="j"),
        ),
    ],
)
async def test_a_request_is_understood(server: Server, method: str, path: str, expected: Call) -> None:
    met: list[Call] = []

    class Notes(Fault):
        def fits(self, call: Call) -> bool:
            met.append(call)
            return False

    async with through(server) as (proxy, _):
        proxy.inject(Notes())
        async with ClientSession(proxy.connection.server) as session, session.request(method, path) as answer:
            if "watch" not in path:
                assert await answer.json() == {"metadata": {"name": "a"}}
    assert met == [expected]
    assert server.asked == [f"{method} {path}"]


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        pytest.param(Refuse(409), Conflict, False, id="conflict"),
        pytest.param(Refuse(429, retry_after=3), TooManyRequests, False, id="too many requests"),
        pytest.param(Refuse(500), Unavailable, False, id="internal error"),
        pytest.param(LoseRequest(), Unavailable, False, id="lost request"),
        pytest.param(LoseAnswer(), Unavailable, True, id="lost answer"),
        pytest.param(Deny(504), Unavailable, True, id="denied deed"),
    ],
)
async def test_a_spoilt_write_fails_and_is_done_or_not(
    server: Server, fault: Fault, error: type[ApiError], done: bool
) -> None:
    async with through(server) as (proxy, client):
        rule = proxy.inject(fault, verb="create", resource="pods", times=1)
        with pytest.raises(error) as caught:
            await create(client)
        assert server.asked == (['POST /api/v1/namespaces/team/pods {"a":1}'] if done else [])
        assert caught.value.retry_after == getattr(fault, "retry_after", None)
        await create(client)
        assert rule.hits == 1
        assert sum(proxy.counts.values()) == 1


async def test_a_delayed_answer_comes_late(server: Server) -> None:
    async with through(server) as (proxy, client):
        proxy.inject(Delay(0.3), verb="create")
        began = asyncio.get_running_loop().time()
        await create(client)
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_other_requests_are_left_alone(server: Server) -> None:
    async with through(server) as (proxy, client):
        rule = proxy.inject(Refuse(500), verb="create", resource="services")
        proxy.inject(Expire(), verb="create")  # which no create can meet
        stopped = proxy.inject(Refuse(500))
        stopped.stop()
        await create(client)
        await client.get(PODS, namespace="team", name="a", lane=Lane.READ)
        assert (rule.hits, stopped.hits) == (0, 0)
        assert len(server.asked) == 2


async def test_an_open_watch_can_be_cut_expired_or_deafened(server: Server) -> None:
    async with through(server) as (proxy, client):
        for spoil, error in ((proxy.cut, Unavailable), (proxy.expire, Gone), (proxy.deafen, Unavailable)):
            heard = asyncio.Event()
            watching = asyncio.create_task(watch(client, silence=0.5, heard=heard))
            await asyncio.wait_for(heard.wait(), 5)
            assert proxy.open_watches("pods")
            await asyncio.to_thread(spoil, "nodes")
            assert not watching.done()
            await asyncio.to_thread(spoil, "pods")
            with pytest.raises(error):
                await asyncio.wait_for(watching, 5)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Expire(), Gone, id="expired"),
        pytest.param(Cut(after=0.1), Unavailable, id="cut"),
        pytest.param(Mute(), Unavailable, id="mute"),
        pytest.param(Refuse(429), TooManyRequests, id="refused"),
    ],
)
async def test_a_new_watch_can_be_spoilt(server: Server, fault: Fault, error: type[ApiError]) -> None:
    async with through(server) as (proxy, client):
        proxy.inject(fault, verb="watch", times=1)
        with pytest.raises(error):
            await asyncio.wait_for(watch(client, silence=0.4), 5)


async def test_a_storm_draws_the_same_for_the_same_seed_and_spares_leases(server: Server) -> None:
    menu = [fault for fault in MENU if isinstance(fault, Refuse | Deny)]

    async def outcomes(seed: int) -> list[str]:
        found = []
        async with through(server) as (proxy, client):
            proxy.storm(seed=seed, share=0.5, menu=menu)
            for _ in range(40):
                try:
                    await create(client)
                    found.append("done")
                except ApiError as error:
                    found.append(type(error).__name__)
            before = sum(proxy.counts.values())
            assert before == 40 - found.count("done")
        return found

    first = await outcomes(1)
    assert first == await outcomes(1) != await outcomes(2)
    assert 5 < first.count("done") < 35
    assert len(set(first)) > 2


async def test_a_kubeconfig_leads_through_the_proxy(server: Server, tmp_path: Path) -> None:
    async with through(server) as (proxy, _):
        loaded = config.load_kubeconfig(path=str(proxy.kubeconfig(tmp_path)))
        async with Client(loaded) as client:
            assert await client.get_path("/version") == {"metadata": {"name": "a"}}
    assert server.asked == ["GET /version"]
