"""The one entry: `plan(job, observed, now)` decides what should happen next, from facts alone.

A plan either records or acts, never both where the record must survive a crash: a new attempt's number, a failure and
the end of a job are planned as a status alone and acted upon by the next plan, which reads them back. So an operator
that is killed between any two writes repeats nothing and loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from regatta.api.spec import Action, TrainingJobSpec
from regatta.api.status import MAX_FAILURES, Cause, Condition, ConditionType, Failure, Phase, TrainingJobStatus, Workers
from regatta.api.validate import Problem
from regatta.plan import ending
from regatta.plan.causes import Verdict, first_failure
from regatta.plan.conditions import with_condition
from regatta.plan.crew import Crew, has_failed, has_succeeded, is_over
from regatta.plan.gang import gang_for
from regatta.plan.model import Create, Delete, Job, Observed, Plan, PodFacts
from regatta.plan.obstacle import Obstacle, first_obstacle, silent_pods
from regatta.plan.pods import headless_service, source_config_map, worker_pods
from regatta.plan.restart import COUNTED, action, pause
from regatta.plan.story import events_between

__all__ = ["orphans", "plan"]

SYMPTOM_GRACE: Final = timedelta(seconds=3)
"""How long a failure that only tells of a lost peer may wait for that peer's own report."""
INSPECT_EVERY: Final = 5.0
"""Seconds between looks at the events of a pod that hangs silently."""


def plan(job: Job, observed: Observed, now: datetime) -> Plan:
    """Return what should happen next to `job`: what to create and delete, the status wanted, when to look again.

    `now` is an aware UTC time. Equal arguments give equal plans.
    """
    now = now.replace(microsecond=0)
    status = job.status
    if status.phase is not None and status.phase.terminal:
        return _clean_up(job, observed)
    if status.attempt == 0 and (job.spec is None or job.problems):
        return _recorded(job, ending.refused(job, now=now))
    spec = job.spec
    if spec is None:
        # A running job whose spec an older operator accepted is left alone: ending it would help nobody.
        return Plan(status=status)
    if status.attempt == 0 and not _has_image(spec, observed):
        missing = Problem("spec.image", f"this installation has no image for {spec.framework}; name one")
        return _recorded(job, ending.refused(replace(job, problems=(missing,)), now=now))
    attempt = max(1, status.attempt)
    crew = Crew.muster(observed.pods, uid=job.uid, attempt=attempt, desired=spec.workers)
    if status.attempt == 0 and crew.members:
        job = _begun(job, crew, attempt=attempt, now=now)
    if status.next_try_time is not None and now < status.next_try_time:
        return _hold_nothing(job, crew, now=now)
    verdict = first_failure(crew, all_created=status.workers.created >= crew.desired, now=now)
    if verdict is not None and status.next_try_time is None:
        return _fail_attempt(job, spec, crew, verdict=verdict, now=now)
    if crew.succeeded == crew.desired:
        return _recorded(job, ending.succeeded(job, crew, now=now))
    if crew.missing:
        return _create(job, spec, crew, observed=observed, now=now)
    return _watch(job, spec, crew, observed=observed, now=now)


def orphans(pods: Iterable[PodFacts]) -> tuple[Delete, ...]:
    """Deletes for the pods of a job that is gone; whatever is terminating already is left to end."""
    return tuple(Delete(kind="Pod", name=pod.name, uid=pod.uid) for pod in pods if pod.deleting_since is None)


def _begun(job: Job, crew: Crew, *, attempt: int, now: datetime) -> Job:
    """The job as its status would tell it, had the operator that made these pods lived to write it."""
    made = min((pod.created_at for pod in crew.members.values() if pod.created_at is not None), default=now)
    told = {
        "attempt": attempt,
        "start_time": job.status.start_time or made,
        "conditions": _conditions(job, crew, phase=Phase.STARTING, obstacle=None, now=now),
    }
    return replace(job, status=job.status.model_copy(update=told))


def _has_image(spec: TrainingJobSpec, observed: Observed) -> bool:
    return bool(spec.image) or spec.framework in observed.installation.framework_images


def _recorded(job: Job, status: TrainingJobStatus) -> Plan:
    """A plan that only stores a status, to be acted upon when it has been stored."""
    return Plan(status=status, events=events_between(job.status, status), requeue_after=0.0)


def _clean_up(job: Job, observed: Observed) -> Plan:
    """After the end: what still runs is deleted, what finished stays for its logs, the status stays as it is."""
    return Plan(
        status=job.status,
        deletes=orphans(pod for pod in observed.pods if not is_over(pod)),
    )


def _hold_nothing(job: Job, crew: Crew, *, now: datetime) -> Plan:
    """During a pause nothing is held: an incomplete crew would keep its accelerators from those who could use them."""
    assert job.status.next_try_time is not None
    return Plan(
        status=job.status,
        deletes=orphans((*crew.members.values(), *crew.garbage)),
        requeue_after=(job.status.next_try_time - now).total_seconds(),
    )


def _create(job: Job, spec: TrainingJobSpec, crew: Crew, *, observed: Observed, now: datetime) -> Plan:
    """Create the pods that are missing, after the objects they need."""
    released = [pod for pod in crew.members.values() if pod.deleting_since is not None]
    if released:
        # Pods of an earlier try of this attempt still have its names; their end is an event that wakes this job.
        return Plan(status=job.status, deletes=orphans(crew.garbage))
    attempt = max(1, job.status.attempt)
    left = spec.restart.max_restarts - job.status.restarts_used
    creates: list[Create] = [headless_service(job), *gang_for(job).children(job, attempt=attempt)]
    source = source_config_map(job)
    if source is not None:
        creates.insert(0, source)
    creates += worker_pods(
        job,
        attempt=attempt,
        workers=crew.missing,
        installation=observed.installation,
        # The last restart is kept for new pods, which may land on other nodes: in place has then not helped.
        restarts_left=left - 1 if left > 1 else max(0, left),
    )
    phase = Phase.STARTING if crew.first_scheduled_at else Phase.QUEUED
    status = job.status.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": phase,
            "reason": "Created",
            "message": f"{crew.desired} pods of attempt {attempt} were created and wait for nodes",
            "attempt": attempt,
            "start_time": job.status.start_time or now,
            "next_try_time": None,
            "workers": crew.count().model_copy(update={"created": crew.desired}),
            "conditions": _conditions(job, crew, phase=phase, obstacle=None, now=now),
        }
    )
    return Plan(
        status=status,
        creates=tuple(creates),
        deletes=orphans(crew.garbage),
        events=events_between(job.status, status),
    )


def _watch(job: Job, spec: TrainingJobSpec, crew: Crew, *, observed: Observed, now: datetime) -> Plan:
    """All pods exist: tell how far they are, and give up where a deadline says so."""
    running = job.status.phase is Phase.RUNNING or crew.joined
    since = crew.first_scheduled_at
    phase = Phase.RUNNING if running else Phase.STARTING if since else Phase.QUEUED
    obstacle = None if running else first_obstacle(crew, observed)
    if obstacle is not None and obstacle.fatal:
        return _recorded(job, ending.failed(job, crew, reason=obstacle.cause, message=obstacle.message, now=now))
    remaining = None
    if phase is Phase.STARTING and since is not None and spec.deadlines.starting is not None:
        remaining = spec.deadlines.starting - (now - since).total_seconds()
        if remaining <= 0:
            words = obstacle.message if obstacle else f"{crew.ready} of {crew.desired} workers have joined"
            message = f"not all workers joined within {spec.deadlines.starting} s (spec.deadlines.starting): {words}"
            return _recorded(job, ending.failed(job, crew, reason="StartingDeadline", message=message, now=now))
    reason, message = _words(spec, crew, phase=phase, obstacle=obstacle)
    status = job.status.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": phase,
            "reason": reason,
            "message": message,
            "attempt": max(1, job.status.attempt),
            "start_time": job.status.start_time or now,
            "running_since": (job.status.running_since or crew.last_joined_at or now) if running else None,
            "next_try_time": None,
            "workers": crew.count(),
            "conditions": _conditions(job, crew, phase=phase, obstacle=obstacle, now=now),
            "progress": observed.progress or job.status.progress,
        }
    )
    inspect = () if running else silent_pods(crew, now=now)
    waits = [remaining] if remaining is not None else []
    if not running and since is not None:
        waits.append(INSPECT_EVERY)
    return Plan(
        status=status,
        deletes=orphans(crew.garbage),
        events=events_between(job.status, status),
        inspect=inspect,
        requeue_after=min(waits, default=None),
    )


def _fail_attempt(job: Job, spec: TrainingJobSpec, crew: Crew, *, verdict: Verdict, now: datetime) -> Plan:
    """Record why the attempt failed, and either raise the attempt or end the job. Acted upon by the next plan."""
    alive = any(not has_failed(pod) and not has_succeeded(pod) for pod in crew.members.values())
    wait = SYMPTOM_GRACE - (now - verdict.at)
    if verdict.symptom and alive and wait > timedelta(0):
        return Plan(status=job.status, requeue_after=wait.total_seconds())
    status = job.status
    attempt = max(1, status.attempt)
    spent = status.restarts_used + verdict.restarts + (verdict.cause in COUNTED)
    failure = Failure(
        attempt=attempt,
        cause=verdict.cause,
        pod=verdict.pod,
        node=verdict.node,
        exit_code=verdict.exit_code,
        message=verdict.message,
        at=verdict.at,
    )
    failures = (*status.failures, failure)[-MAX_FAILURES:]
    counts = {**status.failure_counts, verdict.cause.value: status.failure_counts.get(verdict.cause, 0) + 1}
    record = {
        "observed_generation": job.generation,
        "failures": failures,
        "failure_counts": counts,
        "restarts_used": min(spent, spec.restart.max_restarts),
    }
    if action(verdict.cause, spec=spec, restarts_used=spent) is Action.FAIL:
        recorded = job.status.model_copy(update=record)
        used = f"; {recorded.restarts_used} of {spec.restart.max_restarts} restarts are used"
        message = verdict.message + (used if verdict.cause in COUNTED else "")
        return _recorded(
            job, ending.failed(job, crew, reason=verdict.cause, message=message, now=now, recorded=recorded)
        )
    rest = pause(failures, uid=job.uid, attempt=attempt + 1, now=now)
    next_try = None if rest < 1 else now + timedelta(seconds=round(rest))
    phase = Phase.RESTARTING
    raised = job.status.model_copy(
        update={
            **record,
            "phase": phase,
            "reason": verdict.cause.value,
            "message": f"attempt {attempt} failed: {verdict.message}",
            "attempt": attempt + 1,
            "running_since": None,
            "next_try_time": next_try,
            "workers": Workers(desired=crew.desired),
            "conditions": _conditions(job, None, phase=phase, obstacle=None, now=now),
        }
    )
    return _recorded(job, raised)


def _words(spec: TrainingJobSpec, crew: Crew, *, phase: Phase, obstacle: Obstacle | None) -> tuple[str, str]:
    """Reason and message of a job whose pods all exist."""
    if phase is Phase.RUNNING:
        return "Training", f"{spec.world_size} processes train on {crew.desired} workers"
    if obstacle is not None:
        return obstacle.cause.value, obstacle.message
    if phase is Phase.QUEUED:
        return "WaitingForNodes", f"{crew.desired} pods wait for the scheduler"
    return "WaitingForWorkers", f"{crew.ready} of {crew.desired} workers have joined"


def _conditions(
    job: Job, crew: Crew | None, *, phase: Phase, obstacle: Obstacle | None, now: datetime
) -> tuple[Condition, ...]:
    """Conditions of a job that has not ended."""
    stated = with_condition(
        job.status.conditions,
        ConditionType.ACCEPTED,
        holds=True,
        reason="Valid",
        message="the spec is valid",
        now=now,
        generation=job.generation,
    )
    scheduled = crew is not None and crew.all_scheduled
    unplaced = obstacle is not None and obstacle.cause is Cause.UNSCHEDULABLE
    stated = with_condition(
        stated,
        ConditionType.SCHEDULED,
        holds=scheduled,
        reason="AllWorkers" if scheduled else Cause.UNSCHEDULABLE.value if unplaced else "Waiting",
        message=obstacle.message if obstacle is not None and unplaced else "",
        now=now,
        generation=job.generation,
    )
    return with_condition(
        stated,
        ConditionType.RUNNING,
        holds=phase is Phase.RUNNING,
        reason="Training" if phase is Phase.RUNNING else phase.value,
        now=now,
        generation=job.generation,
    )
