"""A proxy in front of the real API server that commits the faults it is told to, and forwards everything else.

    with FaultProxy(connection) as api:
        api.kubeconfig(folder)                    # for a process; `api.connection` is for a Client
        refused = api.inject(Refuse(503), verb="create", resource="pods", times=3)
        refused.hits                              # how often it was committed so far; `refused.stop()` ends it
        storm = api.storm(seed=7, share=0.05)     # random faults of `faults.MENU`, until `storm.stop()`
        api.cut("pods")                           # the watches that are open now: end them,
        api.deafen("pods")                        # ... let them hang half-open for ever,
        api.expire("pods")                        # ... tell them that their version is too old
        api.counts                                # faults committed, by kind, verb and resource

It speaks plain HTTP to whoever is on this machine and uses the connection's own credentials behind, so it serves
operators that run as processes here. It has a thread and a loop of its own: all methods may be called from anywhere.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from regatta.kube.config import Connection
from tests.cluster.machine_room.faults import EXPIRED, MENU, Call, Fault, hang_up

__all__ = ["FaultProxy", "Rule"]

_REQUEST_HEADERS = ("Accept", "Content-Type", "User-Agent")
_ANSWER_HEADERS = ("Content-Type", "Retry-After", "Warning")
_BIGGEST_BODY = 64 * 2**20


@dataclass(eq=False)
class Rule:
    """Faults to commit, and how often that happened. A request meets the newest rule that wants it."""

    choose: Callable[[Call], Fault | None]
    left: int | None
    """How many more times; None for ever."""
    hits: int = 0

    def stop(self) -> None:
        """Commit no more of it."""
        self.left = 0


@dataclass(eq=False)
class _Watch:
    """An open watch."""

    call: Call
    order: asyncio.Future[bytes | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Last words to say before its end; None for a cut without a word."""
    deaf: bool = False

    def end(self, words: bytes | None) -> None:
        if not self.order.done():
            self.order.set_result(words)


class FaultProxy:
    """Serves while the context is open."""

    def __init__(self, connection: Connection) -> None:
        self._target = connection
        self._rules: list[Rule] = []
        self._watches: set[_Watch] = set()
        self.counts: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connection(self) -> Connection:
        """The way through the proxy."""
        return Connection(server=f"http://127.0.0.1:{self._port}", namespace=self._target.namespace)

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads through the proxy."""
        path = folder / "kubeconfig"
        named = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.connection.server}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        }
        path.write_text(json.dumps(named), encoding="utf-8")
        return path

    def inject(
        self,
        fault: Fault,
        *,
        verb: str = "",
        resource: str = "",
        subresource: str | None = None,
        name: str = "",
        times: int | None = None,
    ) -> Rule:
        """Commit the fault on requests that are as told (what is not told may be anything), so many times."""

        def choose(call: Call) -> Fault | None:
            wanted = (
                fault.fits(call)
                and verb in {"", call.verb}
                and resource in {"", call.resource}
                and subresource in {None, call.subresource}
                and name in {"", call.name}
            )
            return fault if wanted else None

        return self._add(Rule(choose, times))

    def storm(
        self,
        *,
        seed: int,
        share: float,
        menu: Sequence[Fault] = MENU,
        spare: Callable[[Call], bool] = lambda call: call.resource == "leases",
    ) -> Rule:
        """Commit random faults of the menu on that share of all requests but the spared ones.

        The same seed makes the same draws; which request meets which depends on their order.
        """
        draw = random.Random(seed)

        def choose(call: Call) -> Fault | None:
            if spare(call) or draw.random() >= share:
                return None
            fitting = [fault for fault in menu if fault.fits(call)]
            return draw.choice(fitting) if fitting else None

        return self._add(Rule(choose, None))

    def open_watches(self, resource: str = "") -> int:
        """How many watches are open now."""
        return sum(resource in {"", watch.call.resource} for watch in tuple(self._watches))

    def cut(self, resource: str = "") -> None:
        """End the connections of the watches that are open now."""
        self._each(resource, lambda watch: watch.end(None))

    def expire(self, resource: str = "") -> None:
        """Tell the watches that are open now that their version is too old, whatever they have missed."""
        self._each(resource, lambda watch: watch.end(EXPIRED))

    def deafen(self, resource: str = "") -> None:
        """Deliver nothing more on the watches that are open now, and never end them."""

        def deafen(watch: _Watch) -> None:
            watch.deaf = True

        self._each(resource, deafen)

    def _add(self, rule: Rule) -> Rule:
        self._rules.insert(0, rule)
        return rule

    def _each(self, resource: str, do: Callable[[_Watch], None]) -> None:
        async def all_of_them() -> None:
            for watch in tuple(self._watches):
                if resource in {"", watch.call.resource}:
                    do(watch)

        asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result(30)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._target.ssl_context or True),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # A list of more than 128 KiB would come compressed, to somebody who has not asked for that.
            skip_auto_headers=("Accept-Encoding",),
            read_bufsize=2**20,
        )
        app = web.Application(client_max_size=_BIGGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        for watch in tuple(self._watches):
            watch.end(None)
        await self._runner.cleanup()
        # The loop ends in a moment, and nobody would see the peer's half of a polite farewell.
        if self._session.connector is not None:
            await self._session.connector.close(abort_ssl=True)
        await self._session.close()
        await asyncio.sleep(0.05)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = Call.of(request)

        async def forward() -> web.StreamResponse:
            return await self._forward(request, call)

        for rule in tuple(self._rules):
            if rule.left == 0:
                continue
            fault = rule.choose(call)
            if fault is not None:
                rule.hits += 1
                if rule.left is not None:
                    rule.left -= 1
                self.counts[f"{fault} on {call.verb} {call.resource or 'discovery'}"] += 1
                return await fault.answer(request, forward)
        return await forward()

    async def _forward(self, request: web.Request, call: Call) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        token = await self._target.credentials.header()
        if token is not None:
            headers["Authorization"] = token
        url = URL(self._target.server + request.raw_path, encoded=True)
        body = await request.read()
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            kept = {name: answer.headers[name] for name in _ANSWER_HEADERS if name in answer.headers}
            if call.verb != "watch" or answer.status != 200:
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
            return await self._stream(request, answer, _Watch(call), kept)

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, watch: _Watch, headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        self._watches.add(watch)
        pumping = asyncio.create_task(self._pump(answer, response, watch))
        try:
            ends: set[asyncio.Future[Any]] = {pumping, watch.order}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if watch.deaf:
                await watch.order  # whatever happens behind it, a half-open connection tells nothing of it
            if watch.order.done():
                words = watch.order.result()
                if words is None:
                    return hang_up(request)
                await response.write(words)
            return response
        finally:
            self._watches.discard(watch)
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)

    @staticmethod
    async def _pump(answer: aiohttp.ClientResponse, response: web.StreamResponse, watch: _Watch) -> None:
        """Pass on whole lines, so that whatever is said next begins on a new one."""
        rest = b""
        async for chunk in answer.content.iter_any():
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline and not watch.deaf:
                await response.write(lines + newline)
