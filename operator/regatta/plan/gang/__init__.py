"""Gang scheduling: `gang_for(job)` is the scheduler that the job asked for and the cluster has."""

from __future__ import annotations

from regatta.plan.gang.base import GangScheduler
from regatta.plan.gang.none import NoGang
from regatta.plan.model import Job

__all__ = ["GangScheduler", "gang_for"]

NO_GANG = NoGang()


def gang_for(job: Job) -> GangScheduler:
    """Return the gang scheduler of a job; today `Auto` finds none, and `Native` is refused by validation."""
    return NO_GANG
