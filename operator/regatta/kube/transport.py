"""One HTTP session to the API server: lanes, time limits, retries, typed errors.

Knows nothing of objects; `client` gives the verbs on top. Bodies go in and come out as bytes, so nothing is decoded
that nobody reads.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol, Self

import aiohttp
from yarl import URL

from regatta import __version__
from regatta.kube.config import Connection
from regatta.kube.errors import ApiError, NotLeading, Unauthorized, Unavailable, error_from_response
from regatta.kube.gate import FairGate
from regatta.kube.retry import PATIENT, Effect, RetryPolicy, pause_before_retry

__all__ = ["USER_AGENT", "Lane", "Observer", "Transport"]

USER_AGENT: Final = f"regatta-operator/{__version__}"
CONNECT_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 30.0


class Lane(enum.Enum):
    """Who waits for whom: places are counted for each lane on its own."""

    LEASE = enum.auto()
    """Never waits; leadership hangs on it."""
    STATUS = enum.auto()
    """Status writes: what the user sees never waits behind a thousand creates."""
    READ = enum.auto()
    BULK = enum.auto()
    """Creates and deletes of children."""
    EVENT = enum.auto()
    """Kubernetes events: nice to have, never in the way."""


FENCED: Final = frozenset({Lane.STATUS, Lane.BULK, Lane.EVENT})
"""Lanes in which only the leader may write."""


class Observer(Protocol):
    """Told of every finished HTTP request."""

    def __call__(self, *, verb: str, resource: str, code: int, seconds: float) -> None:
        """Code 0 means that no answer came."""


class Transport:
    """Requests to one API server."""

    def __init__(
        self,
        connection: Connection,
        *,
        parallel_writes: int = 64,
        observer: Observer | None = None,
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._base = URL(connection.server)
        self._observer = observer
        self._may_write = may_write
        self._clock = clock
        self._gates: dict[Lane, FairGate | None] = {
            Lane.LEASE: None,
            Lane.STATUS: FairGate(16),
            Lane.READ: FairGate(16),
            Lane.BULK: FairGate(parallel_writes),
            Lane.EVENT: FairGate(2),
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # The lanes bound what is in flight, so the pool itself needs no limit that could queue a lease write.
        connector = aiohttp.TCPConnector(
            limit=0, ssl=self._connection.ssl_context or True, keepalive_timeout=60, ttl_dns_cache=30
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                # The API server is near and its answers are small; unpacking gzip would cost the loop more.
                "Accept-Encoding": "identity",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            raise_for_status=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def busy(self, lane: Lane) -> bool:
        """Whether a good part of the lane is in use."""
        gate = self._gates[lane]
        return gate is not None and not gate.calm.is_set()

    async def wait_calm(self, lane: Lane, *, seconds: float) -> None:
        """Return when the lane is not busy, or the time is over."""
        gate = self._gates[lane]
        if gate is not None and not gate.calm.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await gate.calm.wait()

    async def close(self) -> None:
        """Close all connections; requests in flight fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        verb: str,
        resource: str,
        lane: Lane,
        effect: Effect,
        flow: Hashable = None,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        policy: RetryPolicy = PATIENT,
        seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        """The body of the answer; an ApiError when there is none or it is a refusal, after the policy's retries."""
        gate = self._gates[lane]
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        url = self._url(path, params)
        began = self._clock()
        tried = 0
        while True:
            tried += 1
            if gate is not None:
                await gate.acquire(flow)
            try:
                # Asked when the request is about to leave: it may have waited for longer than a lease lasts.
                if lane in FENCED and not self._may_write():
                    raise NotLeading(f"{method} {path} was held back")
                async with self._send(
                    method, url, verb=verb, resource=resource, body=body, headers=headers, timeout=timeout
                ) as response:
                    return await response.read()
            except ApiError as error:
                elapsed = self._clock() - began
                pause = pause_before_retry(error, effect=effect, tried=tried, elapsed=elapsed, policy=policy)
                if pause is None:
                    raise
            finally:
                # The place is given back before the pause: nobody waits for a request that waits.
                if gate is not None:
                    gate.release()
            await asyncio.sleep(pause)

    async def stream(
        self, path: str, *, resource: str, params: Mapping[str, str], silence: float
    ) -> AsyncIterator[list[bytes]]:
        """Lines of an endless answer in batches as they arrive, an empty one first when it begins.

        Ends when the server ends it. Raises Unavailable when nothing came for `silence` seconds or the connection
        broke; never retries.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        async with self._send(
            "GET", self._url(path, params), verb="watch", resource=resource, timeout=timeout
        ) as response:
            yield []
            unfinished: list[bytes] = []
            async for chunk in response.content.iter_any():
                head, newline, tail = chunk.rpartition(b"\n")
                if not newline:
                    unfinished.append(chunk)
                    continue
                unfinished.append(head)
                lines = b"".join(unfinished).split(b"\n")
                unfinished = [tail] if tail else []
                yield lines

    def _url(self, path: str, params: Mapping[str, str] | None) -> URL:
        url = self._base.joinpath(path.lstrip("/")) if self._base.path != "/" else self._base.with_path(path)
        return url.with_query(params) if params else url

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        url: URL,
        *,
        verb: str,
        resource: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own kind of limit
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the transport is not open")
        sent = dict(headers or ())
        token = await self._connection.credentials.header()
        if token is not None:
            sent["Authorization"] = token
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        began = self._clock()
        code = 0
        try:
            async with self._session.request(
                method, url, data=body, headers=sent, timeout=timeout, allow_redirects=False
            ) as response:
                code = response.status
                if code >= 300:
                    refusal = error_from_response(
                        code=code, body=await response.read(), retry_after=response.headers.get("Retry-After")
                    )
                    if isinstance(refusal, Unauthorized):
                        self._connection.credentials.refused()
                    raise refusal
                yield response
        except TimeoutError as error:
            raise Unavailable(f"{method} {url.path}: no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{method} {url.path}: {error or type(error).__name__}") from error
        finally:
            if self._observer is not None:
                self._observer(verb=verb, resource=resource, code=code, seconds=self._clock() - began)
