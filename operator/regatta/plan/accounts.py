"""The accounts of a job's failures: each is written down once, with what was done about it and what it cost.

Restarts that the crew makes by itself inside its pods reach the operator late and in pieces: while the job runs by
what worker 0 tells, and at the end by the last words of every pod. `attempt_restarts` says how many of the current
attempt's are in the books already, so none is lost and none is written twice, whoever tells it and how often.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from regatta.api import names
from regatta.api.spec import TrainingJobSpec
from regatta.api.status import MAX_FAILURES, Cause, Failure, FailureAction, TrainingJobStatus
from regatta.plan.crew import Crew
from regatta.plan.model import Job
from regatta.plan.report import CrewFailure, CrewWords
from regatta.plan.restart import COUNTED
from regatta.plan.verdict import Verdict

__all__ = ["with_failure", "with_losses_known", "with_restarts_in_place"]


def with_restarts_in_place(
    job: Job, spec: TrainingJobSpec, crew: Crew, words: CrewWords | None, *, now: datetime
) -> TrainingJobStatus:
    """Return the job's status with the current attempt's restarts in place accounted for, as far as they are told."""
    status = job.status
    restarts, told = crew.restarts_in_place
    if words is not None and words.restarts > restarts:
        restarts, told = words.restarts, words.failures
    fresh = restarts - status.attempt_restarts
    if fresh <= 0:
        return status
    attempt = max(1, status.attempt)
    latest = told[-fresh:]
    records = [_in_place(job, crew, failure, attempt=attempt, now=now) for failure in latest]
    # The crew remembers only the last few one by one; those before are counted all the same.
    causes = [*(record.cause for record in records), *(Cause.USER_ERROR for _ in range(fresh - len(records)))]
    return status.model_copy(
        update={
            "attempt_restarts": restarts,
            "restarts_in_place": status.restarts_in_place + fresh,
            "restarts_used": min(status.restarts_used + fresh, spec.restart.max_restarts),
            "failures": (*status.failures, *records)[-MAX_FAILURES:],
            "failure_counts": _counted(status.failure_counts, causes),
        }
    )


def with_failure(
    status: TrainingJobStatus, spec: TrainingJobSpec, verdict: Verdict, *, action: FailureAction
) -> TrainingJobStatus:
    """Return `status` with the failure that ended its attempt."""
    failure = Failure(
        attempt=max(1, status.attempt),
        cause=verdict.cause,
        pod=verdict.pod,
        node=verdict.node,
        exit_code=verdict.exit_code,
        message=verdict.message,
        at=verdict.at,
        action=action,
    )
    spent = status.restarts_used + (verdict.cause in COUNTED)
    return status.model_copy(
        update={
            "failures": (*status.failures, failure)[-MAX_FAILURES:],
            "failure_counts": _counted(status.failure_counts, [verdict.cause]),
            "restarts_used": min(spent, spec.restart.max_restarts),
        }
    )


def with_losses_known(status: TrainingJobStatus, *, resumed_at: datetime) -> TrainingJobStatus:
    """Return `status` with what the failures before `resumed_at` cost, now that all train again.

    Of several failures in a row each costs the time until the next, so that they add up to what was lost.
    """
    until = resumed_at
    failures = list(status.failures)
    for index in range(len(failures) - 1, -1, -1):
        failure = failures[index]
        if failure.action is not FailureAction.NEW_ATTEMPT or failure.lost_seconds is not None:
            break
        lost = max(0.0, (until - failure.at).total_seconds())
        failures[index] = failure.model_copy(update={"lost_seconds": lost})
        until = failure.at
    return status.model_copy(update={"failures": tuple(failures)})


def _in_place(job: Job, crew: Crew, told: CrewFailure, *, attempt: int, now: datetime) -> Failure:
    worker = told.worker if told.worker is not None and told.worker < crew.desired else None
    pod = crew.members.get(worker) if worker is not None else None
    return Failure(
        attempt=attempt,
        cause=Cause.OOM_KILLED if told.cause == Cause.OOM_KILLED else Cause.USER_ERROR,
        pod="" if worker is None else names.pod_name(job.name, attempt, worker),
        node=pod.node if pod is not None else "",
        exit_code=told.exit_code,
        message=told.message,
        # A pod's clock may be ahead; nothing has happened later than now.
        at=min(told.at or now, now),
        action=FailureAction.RESTARTED_IN_PLACE,
        lost_seconds=told.lost_seconds,
    )


def _counted(counts: dict[str, int], causes: Iterable[Cause]) -> dict[str, int]:
    counted = dict(counts)
    for cause in causes:
        counted[cause.value] = counted.get(cause.value, 0) + 1
    return counted
