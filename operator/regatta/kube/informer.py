"""Follows all pods of ours: LIST, then WATCH for ever, into a `PodStore`.

A stream can die without a word (a half-open connection, a load balancer that forgot it). The API server sends a
bookmark about every minute, so one that says nothing for `SILENCE_SECONDS` is dropped and taken up again where it
was; that costs the server next to nothing. A version that the server no longer knows makes a new list needed, and so
does a second silence in a row: whatever swallows the stream may swallow the next one.

A stream that begins well and then tells nothing must not look alive. Once that has happened, the beginning of the next
one is no sign of life, and neither is a list that tells what the stream should have told. A list without news is: then
there was nothing to tell, and the server is one that sends no bookmarks.

Lists are consistent reads, never `resourceVersion=0`: a list from a lagging cache could lack pods that our
predecessor created, and a missing pod is a failed attempt. Since Kubernetes 1.31 the API server serves consistent
lists from its cache, too.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, NoReturn, Protocol

from regatta.api import names
from regatta.kube.client import Client
from regatta.kube.errors import ApiError, Gone, Unavailable, error_from_status
from regatta.kube.listing import list_all
from regatta.kube.pulse import Pulse
from regatta.kube.records import pod_facts
from regatta.kube.resources import PODS
from regatta.kube.retry import Backoff
from regatta.kube.store import PodStore
from regatta.kube.wire import decode

__all__ = ["SELECTOR", "SILENCE_SECONDS", "PodInformer", "WatchObserver"]

SELECTOR: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_JOB}"
SILENCE_SECONDS: Final = 75.0
"""Bookmarks come every 60 seconds, give or take the second or two of the server's own timers."""
MAX_FAILURES_BEFORE_LIST: Final = 5
MAX_SILENCES_BEFORE_LIST: Final = 2
NEARLY: Final = 0.9
"""What came was received a moment before it was looked at."""

_log = logging.getLogger(__name__)


class WatchObserver(Protocol):
    """Counts what happens on a stream."""

    def event(self, *, resource: str, kind: str) -> None:
        """One watch event of the kind ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    def restart(self, *, resource: str, reason: str) -> None:
        """A stream was taken up again."""


class _Ignored:
    def event(self, *, resource: str, kind: str) -> None:
        pass

    def restart(self, *, resource: str, reason: str) -> None:
        pass


@dataclass(slots=True)
class _Stream:
    scope: str | None
    pulse: Pulse
    listed: asyncio.Event = field(default_factory=asyncio.Event)
    version: str | None = None
    """Where the watch goes on; None when a list is needed first."""
    failures: int = 0
    received_at: float = inf
    """When the watch that is open began or last received something; never while it has not begun."""
    silences: int = 0
    """How often in a row a watch had to be dropped because it was silent."""

    def listed_with(self, *, news: bool) -> None:
        """A list came. News that a silent watch should have told prove it deaf, their absence that it was right."""
        if not news:
            self.silences = 0
        self.begun()

    def begun(self) -> None:
        """The server answered: a sign of life unless the stream has been silent."""
        if self.silences:
            self.pulse.tried()
        else:
            self.pulse.heard()

    def told(self) -> None:
        """An event or a bookmark came."""
        self.failures = self.silences = 0
        self.pulse.heard()


class PodInformer:
    """Keeps a `PodStore` equal to what the API server says, through every kind of interruption."""

    def __init__(
        self,
        client: Client,
        store: PodStore,
        *,
        scopes: Sequence[str | None] = (None,),
        observer: WatchObserver | None = None,
        silence: float = SILENCE_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._streams = [_Stream(scope=scope, pulse=Pulse()) for scope in scopes]
        self._observer = observer or _Ignored()
        self._silence = silence
        # A pause must not look like a stuck task to whoever counts in silences.
        self._backoff = backoff or Backoff(first=0.2, cap=silence / 4)

    @property
    def pulses(self) -> tuple[Pulse, ...]:
        """Signs of life, one a stream."""
        return tuple(stream.pulse for stream in self._streams)

    @property
    def synced(self) -> bool:
        """Whether every scope has been listed at least once."""
        return all(stream.listed.is_set() for stream in self._streams)

    async def wait_synced(self) -> None:
        """Return when every scope has been listed."""
        for stream in self._streams:
            await stream.listed.wait()

    async def run(self) -> NoReturn:
        """Follow all scopes until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(self._follow(stream), name=f"pods of {stream.scope or 'all namespaces'}")
        raise AssertionError("streams never end")

    async def refresh(self) -> None:
        """Read everything anew while the watches go on: afterwards the store is at most as old as this call."""
        for stream in self._streams:
            await self._list(stream)

    async def _follow(self, stream: _Stream) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            reason = "ended"
            stream.received_at = inf
            try:
                if stream.version is None:
                    stream.version = await self._list(stream)
                await self._watch(stream)
                if loop.time() - began < 1.0:
                    stream.failures += 1  # a server that hangs up at once must not be asked in a tight loop
            except Gone:
                reason = "expired"
                stream.version = None
                stream.failures += 1
            except ApiError as error:
                reason = "unavailable" if isinstance(error, Unavailable) else "refused"
                stream.pulse.tried()
                if loop.time() - stream.received_at >= self._silence * NEARLY:
                    stream.silences += 1  # which was a pause by itself
                else:
                    stream.failures += 1
                if stream.failures >= MAX_FAILURES_BEFORE_LIST or stream.silences >= MAX_SILENCES_BEFORE_LIST:
                    stream.version = None
                if stream.failures + stream.silences > 1:
                    _log.warning("the watch of pods in %s broke: %s", stream.scope or "all namespaces", error)
            self._observer.restart(resource=PODS.plural, reason=reason)
            if stream.failures:
                await asyncio.sleep(self._backoff.pause(stream.failures))

    async def _list(self, stream: _Stream) -> str:
        listing = await list_all(
            self._client, PODS, namespace=stream.scope, convert=pod_facts, params={"labelSelector": SELECTOR}
        )
        version = listing.resource_version
        news = self._store.replace(stream.scope, pods=listing.items, resource_version=version)
        stream.listed_with(news=news)
        stream.listed.set()
        return version

    async def _watch(self, stream: _Stream) -> None:
        params = {
            "labelSelector": SELECTOR,
            "resourceVersion": stream.version or "",
            # A bounded, uneven life lets the streams move between API servers.
            "timeoutSeconds": str(random.randint(240, 360)),  # noqa: S311 - spreads load, guards nothing
        }
        async for lines in self._client.watch(PODS, namespace=stream.scope, params=params, silence=self._silence):
            stream.received_at = asyncio.get_running_loop().time()
            if not lines:
                stream.begun()
            for line in lines:
                if line:
                    self._take(stream, decode(line))

    def _take(self, stream: _Stream, event: dict[str, Any]) -> None:
        kind = event.get("type")
        thing = event.get("object")
        if not isinstance(thing, dict) or not isinstance(kind, str):
            raise Unavailable("the watch sent something that is no event")
        match kind:
            case "ADDED" | "MODIFIED" | "DELETED":
                pod = pod_facts(thing)
                self._store.event(stream.scope, deleted=kind == "DELETED", pod=pod)
                stream.version = pod.resource_version
            case "BOOKMARK":
                version = str(thing.get("metadata", {}).get("resourceVersion") or "")
                self._store.bookmark(stream.scope, version)
                stream.version = version or stream.version
            case "ERROR":
                self._observer.event(resource=PODS.plural, kind=kind)
                # Whatever it is about, a fresh list is a sound place to go on from.
                stream.version = None
                raise error_from_status(thing)
            case _:
                return
        stream.told()
        self._observer.event(resource=PODS.plural, kind=kind)
