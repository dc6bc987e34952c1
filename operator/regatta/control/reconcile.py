"""One turn of the wheel for one job: gather, plan, apply, settle, write the status once, tell the events.

Everything is derived from the job's spec and status and from the pods that exist. Nothing is remembered between two
turns that an operator restarted in between would miss.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from regatta.api.status import Phase, TrainingJobStatus
from regatta.control.apply import Applier
from regatta.control.events import EventSink
from regatta.control.inspect import latest_warnings, read_group
from regatta.control.jobs import CachedJob, JobCache
from regatta.control.logs import about
from regatta.control.measured import Turns, is_only_measured
from regatta.control.patch import merge_patch
from regatta.kube.client import Client
from regatta.kube.errors import ApiError, Conflict, NotFound
from regatta.kube.resources import TRAINING_JOBS
from regatta.kube.store import JobKey, PodStore
from regatta.plan.crew import Crew
from regatta.plan.model import Delete, GroupFacts, Installation, Job, Observed, Plan
from regatta.plan.plan import orphans, plan
from regatta.plan.report import CrewWords
from regatta.plan.settle import settle
from regatta.telemetry.jobseries import JobSeries

__all__ = ["Reconciler", "Turn"]

AGAIN: Final = 0.0
IDLE_SECONDS: Final = 0.5
PATIENCE: Final = 5.0
OPERATOR_ERROR: Final = "OperatorError"
MEASURED_WRITES: Final = 20.0
LOOK_AGAIN: Final = timedelta(seconds=4)
ENDED: Final = frozenset({"Succeeded", "Failed"})
LOOKS_KEPT: Final = 4096

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a reconcile ended."""

    result: str
    """One of a few words, for the metrics."""
    requeue_after: float | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class Reconciler:
    """Brings the cluster nearer to what a job wants, one turn at a time. ApiErrors are the caller's to retry."""

    def __init__(
        self,
        *,
        client: Client,
        jobs: JobCache,
        pods: PodStore,
        events: EventSink,
        installation: Installation,
        heard: Callable[[JobKey], CrewWords | None] = lambda _: None,
        turns: Turns | None = None,
        series: JobSeries | None = None,
        changed: Callable[[Job, TrainingJobStatus, Crew | None], None] = lambda *_: None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._pods = pods
        self._applier = Applier(client, pods)
        self._events = events
        self._installation = installation
        self._heard = heard
        # Both are empty at first, and so false.
        self._series = JobSeries() if series is None else series
        self._changed = changed
        self._turns = Turns(per_second=MEASURED_WRITES) if turns is None else turns
        self._now = now
        self._warnings: dict[JobKey, dict[str, str]] = {}
        self._groups: dict[JobKey, tuple[datetime, GroupFacts]] = {}

    async def reconcile(self, key: JobKey) -> Turn:
        """One turn for the job of this namespace and name."""
        turn = await self._turn(key)
        cached = self._jobs.get(key)
        if cached is None:
            self._series.remove(key)
        else:
            bound = sum(pod.scheduled and pod.phase not in ENDED for pod in self._pods.pods(key))
            self._series.put(cached.job, bound=bound)
        return turn

    async def _turn(self, key: JobKey) -> Turn:
        cached = self._jobs.get(key)
        if cached is None:
            return await self._without_job(key)
        if cached.deleting:
            return await self._clear(key)
        job = cached.job
        observed = Observed(
            installation=self._installation,
            pods=self._pods.pods(key),
            crew=self._heard(key),
            group=self._groups[key][1] if key in self._groups else None,
            warnings=self._warnings.get(key, {}),
        )
        decided = plan(job, observed, self._now())
        complete = False
        if decided.creates or decided.deletes:
            outcome = await self._applier.apply(key, creates=decided.creates, deletes=decided.deletes)
            _log.info(
                "wrote children",
                extra=about(
                    **_fields(job),
                    created=len(outcome.created),
                    refused=len(outcome.failures),
                    deleted=len(decided.deletes),
                ),
            )
            decided = settle(job, decided, outcome, self._now())
            complete = bool(decided.creates) and not outcome.failures
        changed = decided.status != job.status
        if changed and is_only_measured(job.status, decided.status):
            wait = self._turns.wait(key)
            if wait:
                look = wait if decided.requeue_after is None else min(wait, decided.requeue_after)
                return Turn(result="ok", requeue_after=max(look, IDLE_SECONDS))
        if changed:
            self._turns.forget(key)
            if complete:
                # "Created" is news of little use; the pods of other jobs are worth more to those who wait for them.
                # This turn ends only when it is told, so nothing is decided without it.
                await self._client.wait_calm(seconds=PATIENCE)
            stale = await self._write_status(cached, decided.status)
            if stale is not None:
                return stale
        self._tell(job, decided)
        if decided.inspect:
            await self._inspect(key, decided.inspect)
        elif key in self._warnings:
            del self._warnings[key]
        if decided.inspect_group:
            await self._inspect_group(key, decided.inspect_group)
        else:
            self._groups.pop(key, None)
        after = decided.requeue_after
        if after is not None and not changed:
            after = max(after, IDLE_SECONDS)  # a turn that changed nothing is never worth repeating at once
        return Turn(result="ok", requeue_after=after)

    async def confess(self, key: JobKey, error: BaseException) -> None:
        """Tell in the job's status that a turn failed by a fault of ours: no job is silent, not even then."""
        cached = self._jobs.get(key)
        if cached is None or (cached.job.status.phase is not None and cached.job.status.phase.terminal):
            return
        told = {
            "phase": cached.job.status.phase or Phase.QUEUED,
            "reason": OPERATOR_ERROR,
            "message": f"the operator failed on this job and tries again: {type(error).__name__}: {error}; "
            "its log has the details, please report them",
        }
        status = TrainingJobStatus.model_validate(cached.job.status.model_dump() | told)
        if status != cached.job.status:
            await self._write_status(cached, status)

    async def _without_job(self, key: JobKey) -> Turn:
        """Pods whose job we don't know: ask for it, and delete them when it is really gone."""
        self._warnings.pop(key, None)
        self._groups.pop(key, None)
        self._turns.forget(key)
        if not self._leftovers(key):
            return Turn(result="gone")
        namespace, name = key
        try:
            raw = await self._client.get(TRAINING_JOBS, namespace=namespace, name=name)
        except NotFound:
            return await self._clear(key)
        self._jobs.put(raw)
        return Turn(result="found", requeue_after=AGAIN)

    async def _clear(self, key: JobKey) -> Turn:
        """Delete the pods of a job that is gone or going."""
        deletes = self._leftovers(key)
        if deletes:
            namespace, name = key
            _log.info("deleting pods without a job", extra=about(namespace=namespace, job=name, pods=len(deletes)))
            await self._applier.apply(key, deletes=deletes)
        return Turn(result="gone")

    def _leftovers(self, key: JobKey) -> tuple[Delete, ...]:
        """What there is to delete without a job. Pods that merely carry our labels are not ours to delete."""
        return orphans(pod for pod in self._pods.pods(key) if pod.owner_uid)

    async def _write_status(self, cached: CachedJob, wanted: TrainingJobStatus) -> Turn | None:
        """Write the status if the stored version is still the one that was planned upon; else how to go on."""
        job = cached.job
        patch: dict[str, Any] = {
            "metadata": {"resourceVersion": cached.resource_version},
            "status": merge_patch(job.status.to_api(), wanted.to_api()),
        }
        try:
            raw = await self._client.patch_status(
                TRAINING_JOBS, namespace=job.namespace, name=job.name, patch=patch, flow=cached.key
            )
        except Conflict:
            # The spec changed, or the cache is behind: what was decided rests on an old version. Look again.
            try:
                self._jobs.put(await self._client.get(TRAINING_JOBS, namespace=job.namespace, name=job.name))
            except NotFound:
                self._jobs.remove(cached.key, uid=job.uid)
            return Turn(result="conflict", requeue_after=AGAIN)
        except NotFound:
            self._jobs.remove(cached.key, uid=job.uid)
            return Turn(result="gone", requeue_after=AGAIN)
        self._jobs.put(raw)
        self._count(job, wanted)
        _log.debug("status written", extra=about(**_fields(job), phase=wanted.phase, reason=wanted.reason))
        return None

    def _count(self, job: Job, wanted: TrainingJobStatus) -> None:
        crew = None
        if wanted.phase is Phase.RUNNING and job.status.phase is not Phase.RUNNING and job.spec is not None:
            pods = self._pods.pods((job.namespace, job.name))
            crew = Crew.muster(pods, uid=job.uid, attempt=wanted.attempt, desired=job.spec.workers)
        self._changed(job, wanted, crew)

    def _tell(self, job: Job, decided: Plan) -> None:
        for event in decided.events:
            self._events.post(job, event)
            fields = _fields(job) | {"attempt": decided.status.attempt}
            _log.info("%s", event.message, extra=about(**fields, type=event.type, event=event.reason))

    async def _inspect(self, key: JobKey, pods: tuple[str, ...]) -> None:
        """Read what the plan asked for; the next plan sees it. A look that fails is only a look missed."""
        wanted = [pod for pod in self._pods.pods(key) if pod.name in pods]
        try:
            found = await latest_warnings(self._client, wanted)
        except ApiError as error:
            _log.warning("could not read events: %s", error, extra=about(namespace=key[0], job=key[1]))
            return
        _keep(self._warnings, key, found)

    async def _inspect_group(self, key: JobKey, name: str) -> None:
        now = self._now()
        if key in self._groups and now - self._groups[key][0] < LOOK_AGAIN:
            return  # every pod of a gang that waits has news from the scheduler, and each wakes the job
        try:
            found = await read_group(self._client, namespace=key[0], name=name)
        except ApiError as error:
            _log.warning("could not read a PodGroup: %s", error, extra=about(namespace=key[0], job=key[1]))
            return
        if found is not None:
            _keep(self._groups, key, (now, found))


def _keep(memory: dict[JobKey, Any], key: JobKey, value: Any) -> None:
    """Remember within bounds: what is dropped is only read again."""
    if len(memory) >= LOOKS_KEPT:
        memory.pop(next(iter(memory)))
    memory[key] = value


def _fields(job: Job) -> dict[str, Any]:
    """What every line of the log about a job says."""
    return {"namespace": job.namespace, "job": job.name, "attempt": job.status.attempt}
