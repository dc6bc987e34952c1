"""A server that misbehaves as told: it cuts, delays and lies, and knows nothing of Kubernetes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from regatta.kube.config import Connection

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FaultyServer:
    """Answers each request with the next answer of a script; the last one is repeated."""

    url: str = ""
    script: list[Answer] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by every request, and by whoever else has something to tell those who wait."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        self.news.set()
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return await answer(request)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; it is looked at whenever there is news."""
        async with asyncio.timeout(5):
            while not condition():
                self.news.clear()
                await self.news.wait()

    @property
    def connection(self) -> Connection:
        return Connection(server=self.url)


def says(status: int = 200, body: bytes = b"{}", **headers: str) -> Answer:
    """An answer at once."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


async def hangs(_: web.Request) -> web.StreamResponse:
    """No answer, ever."""
    await asyncio.Event().wait()
    raise AssertionError


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """The connection ends where an answer should be."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def streams(*chunks: bytes, then: str = "end") -> Answer:
    """Chunks of an answer, and then its end, a silence, or a cut."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then == "silence":
            await asyncio.Event().wait()
        if then == "cut":
            assert request.transport is not None
            await asyncio.sleep(0.05)
            request.transport.abort()
        return response

    return answer


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    faulty = FaultyServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", faulty.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    faulty.url = site_url(runner)
    yield faulty
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(runner.cleanup(), 5)


def site_url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
