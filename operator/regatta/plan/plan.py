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

from regatta.api.spec import Runtime, TrainingJobSpec
from regatta.api.status import Cause, FailureAction, Phase, TrainingJobStatus, Workers
from regatta.api.validate import Problem
from regatta.plan import ending
from regatta.plan.accounts import with_failure, with_losses_known, with_restarts_in_place
from regatta.plan.causes import first_failure
from regatta.plan.conditions import conditions_of
from regatta.plan.crew import Crew, has_failed, has_succeeded
from regatta.plan.deadlines import active_seconds, next_alarm, overdue
from regatta.plan.defaults import with_defaults
from regatta.plan.feeding import feed_failure
from regatta.plan.gang import gang_for, gang_obstacle, with_gang_condition
from regatta.plan.ledger import ENDING_CYCLE, with_ledger
from regatta.plan.model import Create, Delete, Job, Observed, Plan, PodFacts
from regatta.plan.obstacle import Obstacle, first_obstacle, silent_pods
from regatta.plan.pods import headless_service, network_policy, source_config_map, worker_pods
from regatta.plan.progress import latest_efficiency, latest_progress, steps_done
from regatta.plan.report import CrewWords
from regatta.plan.restart import COUNTED, decisive_rule, fails, pause
from regatta.plan.stalling import stalled
from regatta.plan.story import dated, events_between, events_in_place
from regatta.plan.suspending import resumed, suspended
from regatta.plan.verdict import Verdict, earlier

__all__ = ["orphans", "plan"]

LOST_GRACE: Final = 10
"""Seconds that a lost pod has to end: enough for a launcher that finds its crew gone."""
SYMPTOM_GRACE: Final = timedelta(seconds=3)
"""How long a failure that only tells of a lost peer may wait for that peer's own report."""
INSPECT_EVERY: Final = 5.0
"""Seconds between looks at the events of a pod that hangs silently."""
LONGEST_INSPECT: Final = 60.0


def plan(job: Job, observed: Observed, now: datetime) -> Plan:
    """Return what should happen next to `job`: what to create and delete, the status wanted, when to look again.

    `now` is an aware UTC time. Equal arguments give equal plans.
    """
    now = now.replace(microsecond=0)
    job = with_defaults(job, observed.installation.defaults)
    status = job.status
    if status.phase is not None and status.phase.terminal:
        return ending.clean_up(job, observed, now=now)
    if status.attempt == 0 and (job.spec is None or job.problems):
        return _booked(job, _recorded(job, ending.refused(job, now=now), now=now), now=now)
    spec = job.spec
    if spec is None:
        # A running job whose spec an older operator accepted is left alone: ending it would help nobody.
        return Plan(status=status)
    if status.attempt == 0 and not _has_image(spec, observed):
        missing = Problem("spec.image", f"this installation has no image for {spec.framework}; name one")
        refused = ending.refused(replace(job, problems=(missing,)), now=now)
        return _booked(job, _recorded(job, refused, now=now), now=now)
    attempt = max(1, status.attempt)
    crew = Crew.muster(observed.pods, uid=job.uid, attempt=attempt, desired=spec.workers)
    stored = job
    if status.attempt == 0 and crew.members:
        job = _begun(job, crew, attempt=attempt, now=now)
    if observed.crew is not None and observed.crew.attempt != attempt:
        observed = replace(observed, crew=None)  # the last words of a crew that is gone
    accounted = with_restarts_in_place(job, spec, crew, observed.crew, now=now)
    told = events_in_place(job.status, accounted)
    job = replace(job, status=accounted)
    decided = _hurried(_decide(job, spec, crew, observed=observed, now=now))
    # A plan to create says nothing of what hindered the creation so far; the stored status does.
    hindrance = job.status.message if decided.creates else decided.status.message
    late = overdue(spec, decided.status, crew, hindrance=hindrance, now=now)
    if late is not None:
        decided = _recorded(job, ending.failed(job, crew, reason=late.reason, message=late.message, now=now), now=now)
    else:
        decided = _with_alarm(decided, spec, crew, observed=observed, now=now)
    decided = _booked(stored, decided, crew, observed.crew, now=now)
    return replace(decided, events=(*told, *decided.events)) if told else decided


def orphans(pods: Iterable[PodFacts]) -> tuple[Delete, ...]:
    """Deletes for the pods of a job that is gone; whatever is terminating already is left to end."""
    return ending.deletes_of(pods)


def _booked(
    job: Job, decided: Plan, crew: Crew | None = None, words: CrewWords | None = None, *, now: datetime
) -> Plan:
    """The plan with the time until now in the ledger, and a finished attempt's steps in the books."""
    status = with_ledger(job, decided.status, crew, words, now=now)
    if crew is not None and status.attempt > max(1, job.status.attempt):
        status = status.model_copy(update={"steps_done": steps_done(status, crew, words)})
    return replace(decided, status=status)


def _hurried(decided: Plan) -> Plan:
    """The plan with lost pods deleted soon: they may hear no signal, and hold what the next attempt needs."""
    lost = {failure.pod for failure in decided.status.failures if failure.cause is Cause.CREW_LOST}
    deletes = [replace(d, grace_seconds=LOST_GRACE) if d.name in lost else d for d in decided.deletes]
    return replace(decided, deletes=tuple(deletes))


def _decide(job: Job, spec: TrainingJobSpec, crew: Crew, *, observed: Observed, now: datetime) -> Plan:
    """What follows for a job that is valid and has not ended."""
    status = job.status
    if crew.succeeded == crew.desired:
        return _recorded(job, ending.succeeded(job, crew, now=now), now=now)
    if spec.suspend:
        if status.phase is not Phase.SUSPENDED:
            return _recorded(job, suspended(job, now=now), now=now)
        look = ENDING_CYCLE if crew.all_pods else None
        return Plan(status=status, deletes=orphans(crew.all_pods), requeue_after=look)
    if status.phase is Phase.SUSPENDED:
        return _recorded(job, resumed(job, now=now), now=now)
    if status.next_try_time is not None and now < status.next_try_time:
        # Nothing is held: an incomplete crew would keep its accelerators from those who could use them.
        left = (status.next_try_time - now).total_seconds()
        return Plan(status=status, deletes=orphans(crew.all_pods), requeue_after=left)
    created = status.workers.created >= crew.desired
    verdict = first_failure(crew, all_created=created, launched=spec.runtime is Runtime.AUTO, now=now)
    if spec.preprocessing is not None:
        verdict = earlier(feed_failure(crew, now=now), verdict)
    verdict = verdict or stalled(spec, status, observed.crew, now=now)
    if verdict is not None and status.next_try_time is None:
        return _fail_attempt(job, spec, crew, verdict=verdict, now=now)
    if crew.missing:
        return _create(job, spec, crew, observed=observed, now=now)
    return _watch(job, spec, crew, observed=observed, now=now)


def _with_alarm(decided: Plan, spec: TrainingJobSpec, crew: Crew, *, observed: Observed, now: datetime) -> Plan:
    """The plan with a look not later than the next deadline of the status it wants."""
    alarm = next_alarm(spec, decided.status, crew, observed.crew, now=now)
    looks = [seconds for seconds in (decided.requeue_after, alarm) if seconds is not None]
    return replace(decided, requeue_after=min(looks, default=None))


def _begun(job: Job, crew: Crew, *, attempt: int, now: datetime) -> Job:
    """The job as its status would tell it, had the operator that made these pods lived to write it."""
    made = min((pod.created_at for pod in crew.members.values() if pod.created_at is not None), default=now)
    told = {
        "attempt": attempt,
        "start_time": job.status.start_time or made,
        "conditions": conditions_of(job, crew, phase=Phase.STARTING, now=now),
    }
    return replace(job, status=job.status.model_copy(update=told))


def _has_image(spec: TrainingJobSpec, observed: Observed) -> bool:
    return observed.installation.image_of(spec) is not None


def _recorded(job: Job, status: TrainingJobStatus, *, now: datetime) -> Plan:
    """A plan that only stores a status, to be acted upon when it has been stored."""
    status = dated(job.status, status, now=now)
    return Plan(status=status, events=events_between(job.status, status), requeue_after=0.0)


def _create(job: Job, spec: TrainingJobSpec, crew: Crew, *, observed: Observed, now: datetime) -> Plan:
    """Create the pods that are missing, after the objects they need."""
    released = [pod for pod in crew.members.values() if pod.deleting_since is not None]
    if released:
        # Pods of an earlier try of this attempt still have its names; their end is an event that wakes this job.
        return Plan(status=job.status, deletes=orphans(crew.garbage))
    attempt = max(1, job.status.attempt)
    left = spec.restart.max_restarts - job.status.restarts_used
    gang = gang_for(spec, observed.installation)
    creates: list[Create] = [headless_service(job), *gang.children(job, attempt=attempt)]
    source = source_config_map(job)
    if source is not None:
        creates.insert(0, source)
    if observed.installation.fence is not None:
        # Before the pods, which would be open until it is there.
        creates.insert(0, network_policy(job, observed.installation.fence))
    creates += worker_pods(
        job,
        attempt=attempt,
        workers=crew.missing,
        installation=observed.installation,
        # The last restart is kept for new pods, which may land on other nodes: in place has then not helped.
        restarts_left=left - 1 if left > 1 else max(0, left),
    )
    phase = Phase.STARTING if crew.first_scheduled_at else Phase.QUEUED
    stated = conditions_of(job, crew, phase=phase, now=now)
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
            "conditions": with_gang_condition(stated, job, spec, crew, observed=observed, now=now),
        }
    )
    status = dated(job.status, status, now=now)
    return Plan(
        status=status,
        creates=tuple(creates),
        deletes=(*orphans(crew.garbage), *gang.leftovers(job, attempt=attempt)),
        events=events_between(job.status, status),
    )


def _watch(job: Job, spec: TrainingJobSpec, crew: Crew, *, observed: Observed, now: datetime) -> Plan:
    """All pods exist: tell how far they are."""
    running = job.status.phase is Phase.RUNNING or crew.joined
    since = crew.first_scheduled_at
    phase = Phase.RUNNING if running else Phase.STARTING if since else Phase.QUEUED
    obstacle = None if running else first_obstacle(crew, observed, spec) or gang_obstacle(job, crew, observed)
    if obstacle is not None and obstacle.fatal:
        over = ending.failed(job, crew, reason=obstacle.cause, message=obstacle.message, now=now)
        return _recorded(job, over, now=now)
    reason, message = _words(job, spec, crew, phase=phase, obstacle=obstacle)
    status = job.status
    if running and status.running_since is None:
        resumed_at = crew.last_joined_at or now
        status = with_losses_known(status, resumed_at=resumed_at).model_copy(update={"running_since": resumed_at})
    stated = conditions_of(job, crew, phase=phase, obstacle=obstacle, now=now)
    status = status.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": phase,
            "reason": reason,
            "message": message,
            "attempt": max(1, job.status.attempt),
            "start_time": job.status.start_time or now,
            "next_try_time": None,
            "workers": crew.count(),
            "conditions": with_gang_condition(stated, job, spec, crew, observed=observed, now=now),
            "progress": latest_progress(job.status.progress, observed.crew),
            "efficiency": latest_efficiency(job.status.efficiency, observed.crew.pace if observed.crew else {}),
        }
    )
    status = dated(job.status, status, now=now)
    inspect = () if running else silent_pods(crew, now=now)
    group = ""
    waits = []
    if not running and since is not None:
        waits.append(INSPECT_EVERY)
    elif phase is Phase.QUEUED:
        group = gang_for(spec, observed.installation).group(job, attempt=status.attempt)
        if group:
            # Rarer and rarer, so that a thousand gangs that wait for days cost the API server little.
            waited = (now - (status.phase_since or now)).total_seconds()
            waits.append(min(LONGEST_INSPECT, max(INSPECT_EVERY, waited / 4)))
    return Plan(
        status=status,
        deletes=orphans(crew.garbage),
        events=events_between(job.status, status),
        inspect=inspect,
        inspect_group=group,
        requeue_after=min(waits, default=None),
    )


def _fail_attempt(job: Job, spec: TrainingJobSpec, crew: Crew, *, verdict: Verdict, now: datetime) -> Plan:
    """Record why the attempt failed, and either raise the attempt or end the job. Acted upon by the next plan."""
    alive = any(not has_failed(pod) and not has_succeeded(pod) for pod in crew.members.values())
    wait = SYMPTOM_GRACE - (now - verdict.at)
    if verdict.symptom and alive and wait > timedelta(0):
        return Plan(status=job.status, requeue_after=wait.total_seconds())
    attempt = max(1, job.status.attempt)
    spent = job.status.restarts_used + (verdict.cause in COUNTED)
    over = fails(verdict.cause, exit_code=verdict.exit_code, spec=spec, restarts_used=spent)
    action = FailureAction.JOB_FAILED if over else FailureAction.NEW_ATTEMPT
    recorded = with_failure(job.status, spec, verdict, action=action)
    if over:
        message = verdict.message + _why_over(spec, verdict, recorded)
        status = ending.failed(job, crew, reason=verdict.cause, message=message, now=now, recorded=recorded)
        return _recorded(job, status, now=now)
    rest = pause(recorded.failures, uid=job.uid, attempt=attempt + 1, now=now)
    raised = recorded.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": Phase.RESTARTING,
            "reason": verdict.cause.value,
            "message": f"attempt {attempt} failed: {verdict.message}",
            "attempt": attempt + 1,
            "attempt_restarts": 0,
            "active_seconds": active_seconds(job.status, now=now),
            "running_since": None,
            "next_try_time": None if rest < 1 else now + timedelta(seconds=round(rest)),
            "workers": Workers(desired=crew.desired),
            "conditions": conditions_of(job, None, phase=Phase.RESTARTING, now=now),
        }
    )
    return _recorded(job, raised, now=now)


def _why_over(spec: TrainingJobSpec, verdict: Verdict, recorded: TrainingJobStatus) -> str:
    """What made this failure the last one."""
    rule = decisive_rule(spec.restart.rules, cause=verdict.cause, exit_code=verdict.exit_code)
    if rule is not None and spec.restart.rules[rule].action == "Fail":
        return f"; spec.restart.rules[{rule}] says Fail"
    if verdict.cause in COUNTED:
        return f"; {recorded.restarts_used} of {spec.restart.max_restarts} restarts are used"
    return ""


def _words(job: Job, spec: TrainingJobSpec, crew: Crew, *, phase: Phase, obstacle: Obstacle | None) -> tuple[str, str]:
    """Reason and message of a job whose pods all exist."""
    if phase is Phase.RUNNING:
        words = f"{spec.world_size} processes train on {crew.desired} workers"
        again = job.status.attempt_restarts
        return "Training", words + (f", restarted in place {again} time{'s' if again > 1 else ''}" if again else "")
    if obstacle is not None:
        return obstacle.cause.value, obstacle.message
    if phase is Phase.QUEUED:
        return "WaitingForNodes", f"{crew.desired} pods wait for the scheduler"
    return "WaitingForWorkers", f"{crew.ready} of {crew.desired} workers have joined"
