"""The three ways a job ends: refused, succeeded, failed. What is written here is latched and never derived again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from regatta.api import names
from regatta.api.spec import Cleanup
from regatta.api.status import Cause, ConditionType, Phase, Progress, TrainingJobStatus, Workers
from regatta.plan.accounts import with_losses_known
from regatta.plan.conditions import with_condition
from regatta.plan.crew import Crew, is_over, report_of, trainer_of
from regatta.plan.model import Delete, Job, Observed, Plan, PodFacts
from regatta.plan.report import CrewReport

SIDECAR_GRACE: Final = 30
"""Seconds; Kubernetes' own default for a pod."""

__all__ = ["clean_up", "deletes_of", "failed", "refused", "succeeded"]


def clean_up(job: Job, observed: Observed, *, now: datetime) -> Plan:
    """After the end: pods as `spec.cleanup` says, the job itself when its time is up; the status stays as it is."""
    status, spec = job.status, job.spec
    cleanup = Cleanup.RUNNING if spec is None else spec.cleanup
    match cleanup:
        case Cleanup.RUNNING:
            deletes = _ends_of(job, (pod for pod in observed.pods if not is_over(pod)))
        case Cleanup.ALL:
            deletes = deletes_of(observed.pods)
        case Cleanup.NONE:
            deletes = ()
    ttl = None if spec is None else spec.ttl_seconds_after_finished
    if ttl is None or status.completion_time is None:
        return Plan(status=status, deletes=deletes)
    left = ttl - (now - status.completion_time).total_seconds()
    if left <= 0:
        deletes = (*deletes, Delete(kind=names.KIND, name=job.name, uid=job.uid))
    return Plan(status=status, deletes=deletes, requeue_after=left if left > 0 else None)


def _ends_of(job: Job, pods: Iterable[PodFacts]) -> tuple[Delete, ...]:
    """Deletes for what still runs; sidecars that outlive the training need no time for a checkpoint."""
    own = (job.spec.pod_template.get("spec") or {}).get("terminationGracePeriodSeconds") if job.spec else None
    grace = min(own, SIDECAR_GRACE) if isinstance(own, int) else SIDECAR_GRACE
    deletes: list[Delete] = []
    for pod in pods:
        trainer = trainer_of(pod)
        trained = trainer is not None and trainer.exit_code is not None
        deletes += [replace(each, grace_seconds=grace if trained else None) for each in deletes_of([pod])]
    return tuple(deletes)


def deletes_of(pods: Iterable[PodFacts]) -> tuple[Delete, ...]:
    """Deletes for these pods; whatever is terminating already is left to end."""
    return tuple(Delete(kind="Pod", name=pod.name, uid=pod.uid) for pod in pods if pod.deleting_since is None)


def refused(job: Job, *, now: datetime) -> TrainingJobStatus:
    """Status of a job whose spec is wrong: every problem with its path, and no attempt."""
    message = "; ".join(map(str, job.problems)) or "spec: cannot be read"
    stated = with_condition(
        job.status.conditions,
        ConditionType.ACCEPTED,
        holds=False,
        reason=Cause.INVALID_SPEC,
        message=message,
        now=now,
        generation=job.generation,
    )
    return _ended(
        job,
        job.status.model_copy(update={"conditions": stated}),
        phase=Phase.FAILED,
        reason=Cause.INVALID_SPEC,
        message=message,
        workers=Workers(desired=job.spec.workers if job.spec else 0),
        now=now,
    )


def succeeded(job: Job, crew: Crew, *, now: datetime) -> TrainingJobStatus:
    """Status of a job whose workers all ended with 0."""
    used = job.status.restarts_used
    words = f"all {crew.desired} workers ended with exit code 0"
    if used:
        words += f" after {used} restart{'s' if used > 1 else ''}"
    # A short attempt can be over before anybody saw it run.
    known = with_losses_known(job.status, resumed_at=crew.last_began_at or now)
    report = report_of(crew.members[0]) if 0 in crew.members else None
    recorded = known.model_copy(
        update={
            "progress": _last_progress(report, now=now) or job.status.progress,
            "efficiency": {**job.status.efficiency, **(report.pace if report is not None else {})},
        }
    )
    return _ended(
        job, recorded, phase=Phase.SUCCEEDED, reason="Completed", message=words, workers=_final(crew), now=now
    )


def failed(
    job: Job, crew: Crew, *, reason: str, message: str, now: datetime, recorded: TrainingJobStatus | None = None
) -> TrainingJobStatus:
    """Status of a job that is given up; `recorded` is a status in which the failure is already counted."""
    return _ended(
        job,
        job.status if recorded is None else recorded,
        phase=Phase.FAILED,
        reason=reason,
        message=message,
        workers=_final(crew),
        now=now,
    )


def _ended(
    job: Job,
    recorded: TrainingJobStatus,
    *,
    phase: Phase,
    reason: str,
    message: str,
    workers: Workers,
    now: datetime,
) -> TrainingJobStatus:
    conditions = recorded.conditions
    for type_, holds in (
        (ConditionType.RUNNING, False),
        (ConditionType.SUCCEEDED if phase is Phase.SUCCEEDED else ConditionType.FAILED, True),
    ):
        conditions = with_condition(
            conditions,
            type_,
            holds=holds,
            reason=str(reason),
            message=message if holds else "",
            now=now,
            generation=job.generation,
        )
    return recorded.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": phase,
            "reason": str(reason),
            "message": message,
            "workers": workers,
            "start_time": recorded.start_time or now,
            "completion_time": now,
            "next_try_time": None,
            "conditions": conditions,
        }
    )


def _final(crew: Crew) -> Workers:
    """Nobody trains after the end, whatever still runs for a moment."""
    return crew.count().model_copy(update={"ready": 0})


def _last_progress(report: CrewReport | None, *, now: datetime) -> Progress | None:
    """How far worker 0's last words say it came: a short job ends between two looks at its progress."""
    if report is None or report.step is None:
        return None
    fraction = min(1.0, report.step / report.total_steps) if report.total_steps else None
    return Progress(step=report.step, total_steps=report.total_steps, fraction=fraction, updated_at=now)
