"""What can be wrong with an answer of the API server: one small class a fault, for `proxy.FaultProxy` to commit.

Refuse(429, retry_after=1)   the server says no, and has done nothing
Delay(0.5)                   the answer comes late
LoseRequest()                the connection ends before the server has heard of the request
LoseAnswer()                 the server does as asked, and the connection ends instead of an answer
Deny(504)                    the server does as asked, and the answer says that it failed
Expire()                     a watch is told that its version is too old
Cut(after=1.0)               a watch's connection ends after so many seconds
Mute()                       a watch begins and never tells anything: a half-open connection
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

from aiohttp import web

__all__ = [
    "EXPIRED",
    "MENU",
    "Call",
    "Cut",
    "Delay",
    "Deny",
    "Expire",
    "Fault",
    "LoseAnswer",
    "LoseRequest",
    "Mute",
    "Refuse",
    "hang_up",
]

_PATH: Final = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?"
)
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_REASONS: Final = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request in Kubernetes' own terms; resource is empty for discovery, name for collections and creates."""

    verb: str
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.verb in _VERBS.values()

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """What the request asks for."""
        found = _PATH.fullmatch(request.path)
        parts = {key: value or "" for key, value in found.groupdict().items()} if found else {}
        if request.method in _VERBS:
            verb = _VERBS[request.method]
        elif request.query.get("watch") in {"true", "1"}:
            verb = "watch"
        else:
            verb = "get" if parts.get("name") or not parts else "list"
        return cls(verb=verb, **parts)


Forward = Callable[[], Awaitable[web.StreamResponse]]
"""Has the server do what is asked, and gives its answer, not yet sent where it is not a stream."""


class Fault:
    """One kind of misbehaviour."""

    __slots__ = ()

    def fits(self, call: Call) -> bool:
        """Whether the fault makes sense for such a request."""
        return call.verb != "watch"

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        """Answer, or fail to."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """The server says no, and has done nothing."""

    code: int
    retry_after: int | None = None

    def fits(self, call: Call) -> bool:
        """A conflict is something that only writes can meet."""
        return call.writes if self.code == 409 else call.verb != "watch" or self.code in {429, 500, 503}

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        return _refusal(self.code, self.retry_after)


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """The answer comes late, the deed as well."""

    seconds: float

    def fits(self, call: Call) -> bool:
        return True

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        await asyncio.sleep(self.seconds)
        return await forward()


@dataclass(frozen=True, slots=True)
class LoseRequest(Fault):
    """The connection ends before the server has heard of the request."""

    def fits(self, call: Call) -> bool:
        return True

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        return hang_up(request)


@dataclass(frozen=True, slots=True)
class LoseAnswer(Fault):
    """The server does as asked, and the connection ends where the answer should be."""

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        await forward()
        return hang_up(request)


@dataclass(frozen=True, slots=True)
class Deny(Fault):
    """The server does as asked, and the answer says that it failed: a lie that a gateway tells."""

    code: int = 504

    def fits(self, call: Call) -> bool:
        return call.writes

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        await forward()
        return _refusal(self.code, None)


@dataclass(frozen=True, slots=True)
class Expire(Fault):
    """A watch is told that the server no longer has the version it wants to go on from."""

    def fits(self, call: Call) -> bool:
        return call.verb == "watch"

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(EXPIRED)
        return response


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """A watch works for so many seconds; then its connection ends."""

    after: float

    def fits(self, call: Call) -> bool:
        return call.verb == "watch"

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self.after):
                return await forward()
        except TimeoutError:
            return hang_up(request)


@dataclass(frozen=True, slots=True)
class Mute(Fault):
    """A watch begins and never tells anything, nor ends: nobody is at the other side any more."""

    def fits(self, call: Call) -> bool:
        return call.verb == "watch"

    async def answer(self, request: web.Request, forward: Forward) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await asyncio.Event().wait()
        raise AssertionError


def hang_up(request: web.Request) -> web.StreamResponse:
    """End the connection at once; what is returned is for nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(code: int, retry_after: int | None) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": _REASONS.get(code, "Unknown"),
        "message": f"a fault was injected: {code}",
        "code": code,
    }
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return web.json_response(status, status=code, headers=headers)


EXPIRED: Final = (
    json.dumps(
        {
            "type": "ERROR",
            "object": {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "Expired",
                "message": "too old resource version: a fault was injected",
                "code": 410,
            },
        }
    ).encode()
    + b"\n"
)

MENU: Final[tuple[Fault, ...]] = (
    Refuse(409),
    Refuse(429, retry_after=1),
    Refuse(500),
    Refuse(503),
    Delay(0.5),
    LoseRequest(),
    LoseAnswer(),
    Deny(504),
    Expire(),
    Cut(after=1.0),
)
"""What a storm is made of unless told otherwise: everything that heals by itself within seconds."""
