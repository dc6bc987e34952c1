"""Checks that the stream of TrainingJobs is not deaf, and makes up for what it missed.

kopf reads that stream, and tells nobody when its watch has ended, skips events of an object after an error of its
own, and never says that an object vanished while its stream was broken. So now and then the collection's metadata is
listed, which is cheap, and compared with the cache: a job that is newer on the server than in the cache, and still is
a moment later, was missed. It is read and put to work, and the stream's age in `/readyz` counts from the last
comparison that found nothing missed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from regatta.control.jobs import JobCache, key_of
from regatta.kube.client import Client
from regatta.kube.errors import ApiError, NotFound
from regatta.kube.informer import SILENCE_SECONDS
from regatta.kube.listing import list_all
from regatta.kube.pulse import Pulse
from regatta.kube.records import version_number
from regatta.kube.resources import TRAINING_JOBS
from regatta.kube.store import JobKey

__all__ = ["JobAudit"]

PERIOD: Final = 0.4
"""How often jobs are compared, in terms of the silence after which a stream is taken up again: each 30 s by default."""
SECONDS_PER_JOB: Final = 0.01
"""Keeps the cost of comparing below a few percent of one core with ten thousand jobs."""
SETTLE_SECONDS: Final = 3.0
"""How long an event may be under way to us before it counts as missed."""

_log = logging.getLogger(__name__)


class JobAudit:
    """Keeps the cache of jobs true even where the stream that feeds it is not."""

    def __init__(
        self,
        client: Client,
        jobs: JobCache,
        *,
        changed: Callable[[JobKey], None],
        scopes: Sequence[str | None] = (None,),
        silence: float = SILENCE_SECONDS,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._changed = changed
        self._scopes = scopes
        self._period = PERIOD * silence
        self._settle = settle
        self.pulse = Pulse()
        self.missed = 0
        """How many jobs the stream missed so far."""

    async def run(self) -> NoReturn:
        """Compare now and then until cancelled."""
        while True:
            pause = max(self._period, len(self._jobs) * SECONDS_PER_JOB)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            try:
                missed = await self.compare()
            except ApiError as error:
                self.pulse.tried()
                _log.debug("jobs could not be compared: %s", error)
                continue
            if not missed:
                self.pulse.heard()
            else:
                self.pulse.tried()
                self.missed += missed
                _log.warning("the stream of TrainingJobs missed %d changes; they were read", missed)

    async def refresh(self) -> None:
        """Read all jobs anew: afterwards the cache is at most as old as this call, and every job is queued."""
        for scope in self._scopes:
            listing = await list_all(self._client, TRAINING_JOBS, namespace=scope, convert=self._take)
            listed_at = version_number(listing.resource_version)
            listed = set(listing.items)
            for cached in self._jobs:
                gone = cached.key not in listed and version_number(cached.resource_version) <= listed_at
                if gone and scope in {None, cached.job.namespace}:
                    self._jobs.remove(cached.key, uid=cached.job.uid)
                    self._changed(cached.key)
        self.pulse.heard()

    async def compare(self) -> int:
        """Find what the stream missed and make up for it; how many jobs that were."""
        suspects: dict[JobKey, int] = {}
        for scope in self._scopes:
            listing = await list_all(
                self._client, TRAINING_JOBS, namespace=scope, metadata_only=True, convert=_key_and_version
            )
            versions = dict(listing.items)
            suspects |= {key: version for key, version in versions.items() if self._version(key) < version}
            # A job that the list lacks and the cache has; -1 stands for its absence.
            suspects |= {
                cached.key: -1
                for cached in self._jobs
                if cached.key not in versions
                and scope in {None, cached.job.namespace}
                and version_number(cached.resource_version) <= version_number(listing.resource_version)
            }
        if not suspects:
            return 0
        await asyncio.sleep(self._settle)
        missed = 0
        for key, version in suspects.items():
            if self._jobs.get(key) is None if version < 0 else self._version(key) >= version:
                continue
            missed += await self._read(key)
        return missed

    async def _read(self, key: JobKey) -> bool:
        """Bring one job up to date; whether that changed anything."""
        namespace, name = key
        known = self._jobs.get(key)
        try:
            raw = await self._client.get(TRAINING_JOBS, namespace=namespace, name=name)
        except NotFound:
            changed = known is not None and self._jobs.remove(key, uid=known.job.uid)
        else:
            changed = self._jobs.put(raw)
        if changed:
            self._changed(key)
        return changed

    def _take(self, raw: dict[str, Any]) -> JobKey:
        self._jobs.put(raw)
        key = key_of(raw)
        self._changed(key)
        return key

    def _version(self, key: JobKey) -> int:
        cached = self._jobs.get(key)
        return -1 if cached is None else version_number(cached.resource_version)


def _key_and_version(raw: dict[str, Any]) -> tuple[JobKey, int]:
    return key_of(raw), version_number(str(raw["metadata"].get("resourceVersion", "")))
