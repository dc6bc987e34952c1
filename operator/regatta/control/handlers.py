"""kopf's part: the stream of TrainingJobs, and nothing else.

Only `on.event`, which never patches, needs no finalizer and runs for every object again after each re-list. The
handler stores the object and queues its key; it returns nothing, because kopf would write that into the status.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import aiohttp

from regatta.api import names
from regatta.control.jobs import JobCache, key_of
from regatta.control.slim_kopf import kopf
from regatta.kube.config import Connection
from regatta.kube.store import JobKey
from regatta.kube.transport import USER_AGENT

__all__ = ["JobFeed", "build_registry", "kopf_settings"]

PAGE: Final = 500


class JobFeed:
    """Takes watch events of TrainingJobs into the cache and queues what changed."""

    def __init__(
        self, jobs: JobCache, *, changed: Callable[[JobKey], None], seen: Callable[[str], None] = lambda _: None
    ) -> None:
        self._jobs = jobs
        self._changed = changed
        self._seen = seen

    def take(self, kind: str | None, raw: Mapping[str, Any]) -> None:
        """One event; its kind is None for an object of a list."""
        if kind is not None:
            self._seen(kind)
        key = key_of(raw)
        if self._jobs.remove(key, uid=str(raw["metadata"]["uid"])) if kind == "DELETED" else self._jobs.put(raw):
            self._changed(key)


def build_registry(feed: JobFeed, connection: Connection) -> kopf.OperatorRegistry:
    """All there is of kopf handlers."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=connection.server,
            aiohttp_session=_session(connection),
            default_namespace=connection.namespace,
        )

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        feed.take(event["type"], event["object"])

    return registry


def kopf_settings(*, silence: float) -> kopf.OperatorSettings:
    """Settings under which kopf watches, takes a stream up again after `silence` seconds, and does nothing more."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # our own events are counted and rate limited
    settings.peering.standalone = True  # leadership is a Lease
    settings.scanning.disabled = True  # no watch of CRDs and namespaces, so namespaced rights suffice
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.consistency_timeout = 0
    settings.queueing.worker_limit = None  # handlers take microseconds; a limit would only delay
    settings.queueing.idle_timeout = 5.0
    settings.queueing.exit_timeout = 2.0
    settings.queueing.error_delays = (1, 1, 2, 3, 5)  # events are skipped meanwhile
    settings.watching.chunk_size = PAGE
    # An int, because kopf sends it as text; uneven, so that replicas don't reconnect together.
    settings.watching.server_timeout = random.randint(240, 360)  # noqa: S311 - spreads load, guards nothing
    settings.watching.inactivity_timeout = silence
    settings.watching.reconnect_backoff = 0.1
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Patience()
    settings.execution.max_workers = 1
    # kopf logs a line for every handled event at INFO.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return settings


def _session(connection: Connection) -> aiohttp.ClientSession:
    """A session that sends the credentials as they are when a request starts. kopf closes it."""

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        header = await connection.credentials.header()
        if header is not None:
            request.headers["Authorization"] = header
        response = await handler(request)
        if response.status == 401:
            connection.credentials.refused()
        return response

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=connection.ssl_context or True),
        headers={"User-Agent": f"{USER_AGENT} kopf"},
        middlewares=(authorize,),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class Patience:
    """Pauses between tries of one request, without end.

    Where kopf runs out of them, the error ends its stream and with it the operator: an API server that answered 503
    for some seconds would restart every operator there is. How long is too long is decided by `/healthz`.
    """

    def __iter__(self) -> Iterator[float]:
        """Growing pauses, the last one again and again."""
        return itertools.chain((0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0))


class _NoDiffBase(kopf.DiffBaseStorage):
    """Remembers nothing: kopf compares every event with this, which by default copies the whole object."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        pass


class _NoProgress(kopf.ProgressStorage):
    """Remembers nothing: there are no handlers whose progress could be lost."""

    def fetch(self, *, key: Any, body: Any) -> Any:
        return None

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:
        pass

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:
        pass

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:
        pass

    def clear(self, *, essence: Any) -> Any:
        return essence
