"""What the status says when the API server did not take everything that was planned.

A crew is whole or it is nothing: where a quota or an admission rule lets only some pods in, the plan after this one
releases them and tries again later, so nothing is half-held and no attempt is spent on waiting.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from regatta.api.status import Cause, ConditionType, Phase, TrainingJobStatus, Workers
from regatta.plan import ending
from regatta.plan.conditions import find, with_condition
from regatta.plan.crew import Crew
from regatta.plan.ledger import with_ledger
from regatta.plan.model import CreateFailure, FailureKind, Job, Outcome, Plan
from regatta.plan.refusals import by_admission, refusal
from regatta.plan.story import dated, events_between

__all__ = ["settle"]

SHORTEST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 60.0
SOON: Final = 1.0
"""Seconds until the next try where the obstacle goes away by itself: a busy API server, a pod that still terminates."""

PASSING: Final = frozenset({FailureKind.TERMINATING, FailureKind.UNAVAILABLE})
SEVERITY: Final = (
    FailureKind.INVALID,
    FailureKind.NAMESPACE_GONE,
    FailureKind.QUOTA_EXCEEDED,
    FailureKind.FORBIDDEN,
    FailureKind.NAME_TAKEN,
    FailureKind.TERMINATING,
    FailureKind.UNAVAILABLE,
)


def settle(job: Job, plan: Plan, outcome: Outcome, now: datetime) -> Plan:
    """Return `plan` with the status, events and next look that its outcome calls for; unchanged when all went well."""
    if not outcome.failures:
        return plan
    now = now.replace(microsecond=0)
    worst = min(outcome.failures, key=lambda failure: SEVERITY.index(failure.failure))
    if worst.failure is FailureKind.INVALID and not by_admission(worst):
        return _refused(job, plan, worst, now=now)
    if worst.failure in PASSING:
        return _passing(job, plan, outcome, worst, now=now)
    return _held_back(job, plan, outcome, worst, now=now)


def _refused(job: Job, plan: Plan, failure: CreateFailure, *, now: datetime) -> Plan:
    """The API server calls the object itself wrong: no other try can help."""
    crew = Crew.muster((), uid=job.uid, attempt=max(1, job.status.attempt), desired=_desired(job))
    message = refusal(failure, workers=_desired(job), fitted=0)
    ended = ending.failed(job, crew, reason=Cause.INVALID_SPEC, message=message, now=now)
    status = with_ledger(job, ended, None, None, now=now)
    return _amended(job, plan, status, requeue_after=0.0, now=now)


def _passing(job: Job, plan: Plan, outcome: Outcome, failure: CreateFailure, *, now: datetime) -> Plan:
    """Keep what was created and add the rest soon."""
    exist = plan.status.workers.created - sum(f.kind == "Pod" for f in outcome.failures)
    status = plan.status.model_copy(
        update={
            "reason": Cause.CREATE_ERROR.value,
            "message": refusal(failure, workers=_desired(job), fitted=0),
            "workers": plan.status.workers.model_copy(update={"created": max(0, exist)}),
        }
    )
    return _amended(job, plan, status, requeue_after=max(SOON, failure.retry_after or 0.0), now=now)


def _held_back(job: Job, plan: Plan, outcome: Outcome, worst: CreateFailure, *, now: datetime) -> Plan:
    """Wait with nothing held, for about as long as the job has waited already."""
    quota = worst.failure is FailureKind.QUOTA_EXCEEDED
    cause = Cause.QUOTA_EXCEEDED if quota else Cause.CREATE_ERROR
    earlier = find(job.status.conditions, ConditionType.SCHEDULED)
    waited = (now - earlier.last_transition_time).total_seconds() if earlier else 0.0
    wait = min(LONGEST_WAIT, max(SHORTEST_WAIT, waited))
    refused = sum(failure.kind == "Pod" for failure in outcome.failures)
    message = refusal(worst, workers=_desired(job), fitted=max(0, _desired(job) - refused))
    status = plan.status.model_copy(
        update={
            "phase": Phase.QUEUED,
            "reason": cause.value,
            "message": message,
            "next_try_time": now + timedelta(seconds=round(wait)),
            "workers": Workers(desired=_desired(job)),
            "conditions": with_condition(
                plan.status.conditions,
                ConditionType.SCHEDULED,
                holds=False,
                reason=cause.value,
                message=message,
                now=now,
                generation=job.generation,
            ),
        }
    )
    return _amended(job, plan, status, requeue_after=0.0, now=now)


def _desired(job: Job) -> int:
    return job.spec.workers if job.spec is not None else 0


def _amended(job: Job, plan: Plan, status: TrainingJobStatus, *, requeue_after: float, now: datetime) -> Plan:
    status = dated(job.status, status, now=now)
    return replace(plan, status=status, events=events_between(job.status, status), requeue_after=requeue_after)
