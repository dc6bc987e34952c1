"""Kubernetes events about jobs: repeated ones counted, floods cut, and never in the way of anything else."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from regatta.api import names
from regatta.kube.client import Client
from regatta.kube.errors import ApiError, NotFound, NotLeading
from regatta.kube.resources import EVENTS
from regatta.kube.transport import Lane
from regatta.plan.model import Event, Job

__all__ = ["EventLedger", "EventSink", "Posting"]

REPORTER: Final = "regatta.dev/operator"
MAX_NOTE: Final = 1024
MAX_QUEUED: Final = 1000
MAX_REMEMBERED: Final = 4096
PATIENCE: Final = 5.0
"""Seconds for which an event lets pods be created before it."""
REPEAT_WINDOW: Final = 600.0
"""The same words within so many seconds raise the earlier event's count."""
BURST: Final = 20
REFILL_SECONDS: Final = 15.0
"""A job may have so many events at once, and one more each time this passes."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Told:
    name: str
    count: int
    at: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Posting:
    """A request that makes an event known: a new object, or a higher count of an old one."""

    namespace: str
    name: str
    body: dict[str, Any]
    repeated: bool


class EventLedger:
    """Decides which events are worth a request, by what was told before."""

    def __init__(self, *, instance: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._instance = instance[:128]
        self._now = now
        self._told: OrderedDict[tuple[str, str, str, str], _Told] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def posting(self, job: Job, event: Event) -> Posting | None:
        """The request for an event, None when the job has had too many."""
        now = self._now()
        if not self._spend(job.uid, now.timestamp()):
            return None
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        note = _clip(event.message)
        words = (job.uid, event.type, event.reason, note)
        told = self._told.get(words)
        if told is not None and now.timestamp() - told.at < REPEAT_WINDOW:
            told.count += 1
            told.at = now.timestamp()
            series = {"count": told.count, "lastObservedTime": stamp}
            return Posting(job.namespace, told.name, {"series": series}, repeated=True)
        digest = hashlib.sha256("\0".join((*words, stamp)).encode()).hexdigest()[:16]
        name = f"{job.name}.{digest}"
        _remember(self._told, words, _Told(name=name, count=1, at=now.timestamp()))
        body = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": job.namespace},
            "eventTime": stamp,
            "reportingController": REPORTER,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "note": note,
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "namespace": job.namespace,
                "name": job.name,
                "uid": job.uid,
            },
        }
        return Posting(job.namespace, name, body, repeated=False)

    def forget(self, name: str) -> None:
        """The event of this name is no longer there: the next of its kind is a new one."""
        for words in [words for words, told in self._told.items() if told.name == name]:
            del self._told[words]

    def _spend(self, uid: str, now: float) -> bool:
        bucket = self._buckets.get(uid)
        if bucket is None:
            bucket = _Bucket(tokens=BURST, at=now)
            _remember(self._buckets, uid, bucket)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL_SECONDS)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


class EventSink:
    """Takes events at any rate, posts what is worth posting in the background."""

    def __init__(self, client: Client, *, instance: str) -> None:
        self._client = client
        self._ledger = EventLedger(instance=instance)
        self._queue: asyncio.Queue[Posting] = asyncio.Queue(MAX_QUEUED)

    def post(self, job: Job, event: Event) -> None:
        """Have the event posted some time soon; dropped where the job has had too many, or the API server is slow."""
        posting = self._ledger.posting(job, event)
        if posting is None:
            return
        try:
            self._queue.put_nowait(posting)
        except asyncio.QueueFull:
            _log.debug("an event was dropped: the queue is full")

    async def run(self) -> NoReturn:
        """Post until cancelled."""
        while True:
            posting = await self._queue.get()
            await self._client.wait_calm(seconds=PATIENCE)
            try:
                await self._send(posting)
            except (ApiError, NotLeading) as error:
                # The namespace is going, or the quota for events is used up: nothing hangs on an event.
                _log.debug("an event was not taken: %s", error)
            finally:
                self._queue.task_done()

    async def drain(self, seconds: float) -> None:
        """Give what is queued a moment to be posted."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            _log.debug("some events were not posted before the stop")

    async def _send(self, posting: Posting) -> None:
        if not posting.repeated:
            await self._client.create(
                EVENTS, namespace=posting.namespace, body=posting.body, lane=Lane.EVENT, once=True, metadata_only=True
            )
            return
        try:
            await self._client.patch(
                EVENTS, namespace=posting.namespace, name=posting.name, patch=posting.body, lane=Lane.EVENT
            )
        except NotFound:
            self._ledger.forget(posting.name)  # events live for an hour by default


def _clip(text: str) -> str:
    """The text within the API's limit, which counts bytes."""
    encoded = text.encode()
    if len(encoded) <= MAX_NOTE:
        return text
    return encoded[: MAX_NOTE - 3].decode(errors="ignore") + "…"


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
