"""Suspend and resume: everything is freed, what was counted stays counted, and training goes on as a new attempt."""

from __future__ import annotations

from datetime import datetime

from regatta.api.status import Phase, TrainingJobStatus, Workers
from regatta.plan.conditions import conditions_of
from regatta.plan.deadlines import active_seconds
from regatta.plan.model import Job

__all__ = ["resumed", "suspended"]


def suspended(job: Job, *, now: datetime) -> TrainingJobStatus:
    """Status of a job that holds nothing until it is resumed; the attempt it had is over, though it did not fail."""
    ran = job.status.attempt > 0
    then = f"attempt {job.status.attempt + 1 if ran else 1} starts when it is false again"
    return job.status.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": Phase.SUSPENDED,
            "reason": "Suspended",
            "message": f"spec.suspend is true: all pods are deleted, nothing is held; {then}",
            "start_time": job.status.start_time or now,
            "active_seconds": active_seconds(job.status, now=now),
            "running_since": None,
            "next_try_time": None,
            "workers": Workers(desired=job.spec.workers if job.spec is not None else 0),
            "conditions": conditions_of(job, None, phase=Phase.SUSPENDED, now=now),
        }
    )


def resumed(job: Job, *, now: datetime) -> TrainingJobStatus:
    """Status of a job that goes on: the next attempt, for pods of the last one may still be about to end."""
    attempt = job.status.attempt + 1 if job.status.attempt > 0 else 0
    return job.status.model_copy(
        update={
            "observed_generation": job.generation,
            "phase": Phase.QUEUED,
            "reason": "Resumed",
            "message": f"spec.suspend is false again: attempt {max(1, attempt)} is being created",
            "attempt": attempt,
            "attempt_restarts": 0,
            "conditions": conditions_of(job, None, phase=Phase.QUEUED, now=now),
        }
    )
