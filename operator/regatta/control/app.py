"""The operator as one structure of tasks: streams that every replica follows, and work that only the leader does.

    every replica   health server, pod informer, kopf's stream of TrainingJobs, its audit, loop lag
    the leader      renewal of the lease, workers, events, progress, resync

A standby keeps its caches warm and does nothing else. When anything ends that should not, the whole process does, with
a word about why: a new one begins from what the API server knows, which is all there is to know.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any, Final

from regatta.api import names
from regatta.control.audit import JobAudit
from regatta.control.handlers import JobFeed, build_registry, kopf_settings
from regatta.control.health import Health, Limits, serve, watch_lag
from regatta.control.jobs import JobCache
from regatta.control.leading import Leader, World
from regatta.control.logs import about
from regatta.control.queue import KeyedQueue
from regatta.control.settings import Settings, installation, serves
from regatta.control.slim_kopf import kopf
from regatta.control.stopping import Stop, Stopped
from regatta.errors import RegattaError
from regatta.kube import config
from regatta.kube.client import Client
from regatta.kube.errors import ApiError, NotFound
from regatta.kube.informer import PodInformer
from regatta.kube.resources import POD_GROUPS, TRAINING_JOBS
from regatta.kube.store import JobKey, PodStore
from regatta.plan.model import Installation
from regatta.telemetry.jobseries import JobSeries
from regatta.telemetry.metrics import Metrics

__all__ = ["Operator", "operate"]

RETRY_SECONDS: Final = 2.0
SPACING: Final = 0.1
BUSY_SPACING: Final = 3.0

_log = logging.getLogger(__name__)


async def operate(settings: Settings) -> None:
    """Run until told to stop by a signal, or until something happens that only a new process can mend."""
    connection = config.load(kubeconfig=settings.kubeconfig, context=settings.context)
    await Operator(settings, connection).run()


class Operator:
    """One replica."""

    def __init__(self, settings: Settings, connection: config.Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._metrics = metrics = Metrics(prices=settings.prices)
        self._series = series = JobSeries()
        self._health = Health(limits=Limits.of(settings.silence_seconds))
        self._stop = Stop()
        scopes: tuple[str | None, ...] = settings.namespaces or (None,)
        self._client = client = Client(
            connection,
            parallel_writes=settings.parallel_writes,
            observer=metrics.request,
            may_write=lambda: self._leader.may_write(),
        )
        queue: KeyedQueue[JobKey] = KeyedQueue(
            waited=metrics.waited,
            # While pods are being created as fast as the API server takes them, their status can wait a little.
            spacing=lambda: BUSY_SPACING if client.busy else SPACING,
        )
        jobs = JobCache()
        pods = PodStore(scopes=scopes, changed=queue.touch)
        self._world = World(
            queue=queue,
            jobs=jobs,
            pods=pods,
            informer=PodInformer(client, pods, scopes=scopes, observer=metrics, silence=settings.silence_seconds),
            audit=JobAudit(client, jobs, changed=queue.add, scopes=scopes, silence=settings.silence_seconds),
        )
        self._leader = Leader(
            settings=settings,
            client=client,
            world=self._world,
            stop=self._stop,
            metrics=metrics,
            series=series,
            health=self._health,
            namespace=connection.namespace,
        )
        self._jobs_listed = asyncio.Event()
        metrics.observe(
            queued=lambda: len(queue),
            cached={"pods": lambda: len(pods), TRAINING_JOBS.plural: lambda: len(jobs)},
            silent={
                "pods": lambda: max((p.silent_seconds for p in self._world.informer.pulses), default=0.0),
                TRAINING_JOBS.plural: lambda: self._world.audit.pulse.silent_seconds,
            },
            fleet=series,
        )

    async def run(self) -> None:
        """Serve until stopped."""
        self._stop.catch_signals()
        settings = self._settings
        server = await serve(self._health, self._metrics.registry, self._series, host=settings.host, port=settings.port)
        try:
            async with self._client:
                installation = await self._stop.unless(self._prepare())
                await self._serve(installation)
        except Stopped:
            pass
        finally:
            await server.cleanup()
        _log.info("stopped")

    async def _prepare(self) -> Installation:
        """Wait for what the operator can't work without, and learn what the cluster can do."""
        settings = self._settings
        self._health.waiting_for("the API server")
        version = await self._patiently("/version")
        # Without the CRD kopf would find nothing to watch, and never look again.
        self._health.waiting_for(f"the CustomResourceDefinition {names.PLURAL}.{names.GROUP}")
        while True:
            if serves(await self._patiently(TRAINING_JOBS.api_root), TRAINING_JOBS.plural):
                break
            await asyncio.sleep(RETRY_SECONDS)
        self._health.waiting_for("")
        gang = serves(await self._patiently(POD_GROUPS.api_root), POD_GROUPS.plural)
        given = installation(settings, version=version, pod_groups=gang, namespace=self._connection.namespace)
        _log.info(
            "starting",
            extra=about(
                kubernetes=version.get("gitVersion"),
                namespaces=list(settings.namespaces) or "all",
                identity=settings.identity,
                injection="ImageVolume" if given.image_volumes else "InitContainer",
                gang="Native" if gang else "None",
                fence=given.fence is not None,
            ),
        )
        return given

    async def _patiently(self, path: str) -> dict[str, Any]:
        """What the API server says at a path, however long it takes to say anything; {} where there is nothing."""
        while True:
            try:
                return await self._client.get_path(path)
            except NotFound:
                return {}
            except ApiError as error:
                _log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _serve(self, installation: Installation) -> None:
        world = self._world
        self._health.stream("pods", pulses=lambda: world.informer.pulses, synced=lambda: world.informer.synced)
        self._health.stream(TRAINING_JOBS.plural, pulses=lambda: (world.audit.pulse,), synced=self._jobs_listed.is_set)
        watch_ends = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch_jobs(watch_ends), name="kopf")
            streams = [
                group.create_task(world.informer.run(), name="pod informer"),
                group.create_task(self._audit_jobs(), name="job audit"),
                group.create_task(watch_lag(self._metrics.lagged), name="loop lag"),
            ]
            lead = group.create_task(self._lead(installation), name="lead")
            await self._stop.wait()
            _log.info("stopping")
            # Work first, while the streams that feed it live; then these; kopf last, because at its end it cancels
            # every task that was made after its own.
            world.queue.close()
            await asyncio.wait({lead}, timeout=self._settings.stop_seconds)
            if not lead.done():
                _log.warning("some work did not end in time")
                lead.cancel()
                await asyncio.wait({lead}, timeout=RETRY_SECONDS)
            for stream in streams:
                stream.cancel()
            watch_ends.set()
            await watch

    async def _watch_jobs(self, end: asyncio.Event) -> None:
        existing = asyncio.all_tasks()
        feed = JobFeed(
            self._world.jobs,
            changed=self._world.queue.add,
            seen=lambda kind: self._metrics.event(resource=TRAINING_JOBS.plural, kind=kind),
        )
        tasks = await kopf.spawn_tasks(
            registry=build_registry(feed, self._connection),
            settings=kopf_settings(silence=self._settings.silence_seconds),
            # Without one kopf asks the system for the user's name, and an image's bare user number has none.
            identity=self._settings.identity,  # type: ignore[arg-type]
            standalone=True,
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
            stop_flag=end,
        )
        self._stop.catch_signals()  # kopf has just taken them
        await kopf.run_tasks(tasks, ignored=existing)
        if not end.is_set():
            raise RegattaError("the stream of TrainingJobs has ended")

    async def _audit_jobs(self) -> None:
        while not self._jobs_listed.is_set():
            try:
                await self._world.audit.refresh()
                self._jobs_listed.set()
            except ApiError as error:
                self._world.audit.pulse.tried()
                _log.warning("TrainingJobs can't be listed yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
        await self._world.audit.run()

    async def _lead(self, installation: Installation) -> None:
        try:
            await self._stop.unless(self._jobs_listed.wait())
            await self._stop.unless(self._world.informer.wait_synced())
        except Stopped:
            return
        # What lives now lives on: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        await self._leader.run(installation)
