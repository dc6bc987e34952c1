"""What only the leader does: become it, work, and give the lease back.

A new leader first reads jobs and then pods anew, in this order: its caches may be a moment behind what its
predecessor wrote, and a pod that a status counts but a cache lacks would be taken for lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from regatta.api import names
from regatta.api.spec import Runtime
from regatta.api.status import Phase
from regatta.control.audit import JobAudit
from regatta.control.events import EventSink
from regatta.control.health import Health
from regatta.control.jobs import JobCache
from regatta.control.logs import about
from regatta.control.measured import Turns
from regatta.control.queue import KeyedQueue
from regatta.control.reconcile import Reconciler
from regatta.control.settings import Settings
from regatta.control.stopping import Stop, Stopped
from regatta.control.workers import resync, work
from regatta.kube.client import Client
from regatta.kube.errors import ApiError
from regatta.kube.informer import PodInformer
from regatta.kube.lease import Elector, KubeLease, Timing
from regatta.kube.store import JobKey, PodStore
from regatta.plan.model import Installation
from regatta.telemetry.jobseries import JobSeries
from regatta.telemetry.metrics import Metrics
from regatta.telemetry.progress import ProgressPoller, Target

__all__ = ["Leader", "World"]

RETRY_SECONDS: Final = 2.0
DRAIN_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the streams keep true: caches and the queue of what changed in them."""

    queue: KeyedQueue[JobKey]
    jobs: JobCache
    pods: PodStore
    informer: PodInformer
    audit: JobAudit

    def job_keys(self) -> Iterator[JobKey]:
        """Every job that we know, or that has pods."""
        yield from {cached.key for cached in self.jobs} | set(self.pods.jobs())

    def running(self) -> Iterator[Target]:
        """Jobs that train, with the address of their worker 0."""
        for cached in self.jobs:
            job = cached.job
            if job.status.phase is not Phase.RUNNING or job.spec is None or job.spec.runtime is Runtime.OFF:
                continue
            pod = self.pods.get(job.namespace, names.pod_name(job.name, job.status.attempt, 0))
            if pod is not None and pod.ip and pod.owner_uid == job.uid and pod.phase == "Running":
                attempt = job.status.attempt
                yield Target(key=cached.key, job_uid=job.uid, attempt=attempt, pod_uid=pod.uid, ip=pod.ip)


class Leader:
    """One candidate, and the work it does while it leads."""

    def __init__(
        self,
        *,
        settings: Settings,
        client: Client,
        world: World,
        stop: Stop,
        metrics: Metrics,
        series: JobSeries,
        health: Health,
        namespace: str,
    ) -> None:
        self._settings = settings
        self._client = client
        self._world = world
        self._stop = stop
        self._metrics = metrics
        self._series = series
        self._health = health
        self._elector: Elector | None = None
        if settings.leader_election:
            self._elector = Elector(
                KubeLease(client, namespace=settings.lease_namespace or namespace, name=settings.lease_name),
                identity=settings.identity,
                timing=Timing(
                    duration=settings.lease_seconds, deadline=settings.renew_seconds, retry=settings.retry_seconds
                ),
            )

    def may_write(self) -> bool:
        """Whether a write that leaves now is ours to make."""
        return self._elector is None or self._elector.leading

    async def run(self, installation: Installation) -> None:
        """Lead until told to stop; LeadershipLost when somebody else may lead."""
        elector = self._elector
        if elector is None:
            await self._work(installation)
            return
        try:
            await self._stop.unless(elector.acquire())
        except Stopped:
            return
        holding = asyncio.create_task(elector.hold(), name="lease")
        working = asyncio.create_task(self._work(installation), name="work")
        try:
            await asyncio.wait({holding, working}, return_when=asyncio.FIRST_COMPLETED)
            # When both are done, the loss counts.
            await (holding if holding.done() else working)
        finally:
            self._tell(leading=False)
            self._world.queue.close()
            working.cancel()
            holding.cancel()
            await asyncio.gather(holding, working, return_exceptions=True)
            await elector.release()

    async def _work(self, installation: Installation) -> None:
        """Ends when the queue is closed and what was begun is done."""
        world = self._world
        await self._read_anew()
        self._tell(leading=True)
        events = EventSink(self._client, instance=self._settings.identity)
        poller = ProgressPoller(targets=world.running, changed=world.queue.touch)
        reconciler = Reconciler(
            client=self._client,
            jobs=world.jobs,
            pods=world.pods,
            events=events,
            installation=installation,
            heard=poller.latest,
            series=self._series,
            changed=self._metrics.lifecycle.changed,
            turns=Turns(per_second=self._settings.measured_writes),
        )
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(events.run(), name="events"),
                group.create_task(poller.run(), name="progress"),
                group.create_task(
                    resync(world.queue, world.job_keys, seconds=self._settings.resync_seconds), name="resync"
                ),
            ]
            workers = [
                group.create_task(
                    work(world.queue, reconciler.reconcile, confess=reconciler.confess, observer=self._metrics),
                    name=f"worker {number}",
                )
                for number in range(self._settings.workers)
            ]
            await asyncio.wait(workers)
            await events.drain(DRAIN_SECONDS)
            for task in background:
                task.cancel()

    async def _read_anew(self) -> None:
        while True:
            try:
                await self._world.audit.refresh()
                await self._world.informer.refresh()
                break
            except ApiError as error:
                _log.warning("jobs and pods can't be read yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
        for key in self._world.job_keys():
            self._world.queue.add(key)

    def _tell(self, *, leading: bool) -> None:
        if leading != self._health.leading:
            _log.info("leading" if leading else "no longer leading", extra=about(identity=self._settings.identity))
        self._health.leading = leading
        if not leading:
            self._series.clear()
        self._metrics.leads(leading)
