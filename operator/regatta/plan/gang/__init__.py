"""Gang scheduling: `gang_for(spec, installation)` is the scheduler that a job asks for and the cluster has."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from regatta.api.spec import Gang, TrainingJobSpec
from regatta.api.status import Cause, Condition, ConditionType
from regatta.plan.conditions import with_condition
from regatta.plan.crew import Crew
from regatta.plan.gang.base import GangScheduler
from regatta.plan.gang.native import API_VERSION, KIND, NativeGang
from regatta.plan.gang.none import NoGang
from regatta.plan.model import GroupFacts, Installation, Job, Observed
from regatta.plan.obstacle import Obstacle
from regatta.plan.placing import placing

__all__ = ["GangScheduler", "gang_for", "gang_obstacle", "with_gang_condition"]

NO_GANG: Final = NoGang()
NATIVE: Final = NativeGang()
DEFAULT_SCHEDULER: Final = "default-scheduler"


def gang_for(spec: TrainingJobSpec, installation: Installation) -> GangScheduler:
    """Return the gang scheduler of a job; without one its pods are scheduled one by one."""
    return NATIVE if _why_none(spec, installation) is None else NO_GANG


def gang_obstacle(job: Job, crew: Crew, observed: Observed) -> Obstacle | None:
    """Return what the scheduler says of a gang that waits, where it says nothing of the pods themselves."""
    told = _told(job, observed)
    if told is None or not told.reason or crew.all_scheduled:
        return None
    place = placing(told.message or told.reason, spec=job.spec)
    what = f"no room yet for all {crew.desired} workers together: {place.what}"
    return Obstacle(cause=Cause.UNSCHEDULABLE, message=f"{what}; {place.fix}", fix=place.fix)


def with_gang_condition(
    conditions: tuple[Condition, ...],
    job: Job,
    spec: TrainingJobSpec,
    crew: Crew,
    *,
    observed: Observed,
    now: datetime,
) -> tuple[Condition, ...]:
    """Return `conditions` with GangScheduled: which mechanism is used, why, and what its scheduler says.

    It is not stated for a job that needs no gang, or wants none.
    """
    why = _why_none(spec, observed.installation)
    if why == "":
        return conditions
    if why is not None:
        holds, reason, message = False, "NotAvailable", why
    else:
        group = NATIVE.group(job, attempt=max(1, job.status.attempt))
        holds = crew.all_scheduled
        told = _told(job, observed)
        reason = "Native" if holds or told is None or not told.reason else told.reason
        message = f"PodGroup {group} holds all {crew.desired} workers together"
        if not holds and told is not None and told.message:
            message += f"; the scheduler says: {told.message}"
    return with_condition(
        conditions,
        ConditionType.GANG_SCHEDULED,
        holds=holds,
        reason=reason,
        message=message,
        now=now,
        generation=job.generation,
    )


def _told(job: Job, observed: Observed) -> GroupFacts | None:
    """What was read of the current attempt's PodGroup."""
    group = observed.group
    return group if group and group.name == NATIVE.group(job, attempt=max(1, job.status.attempt)) else None


def _why_none(spec: TrainingJobSpec, installation: Installation) -> str | None:
    """Why a job gets no gang: empty when it needs or wants none, None when it gets one."""
    wanted = spec.scheduling
    if wanted.gang is Gang.NONE or (wanted.gang is Gang.AUTO and spec.workers == 1):
        return ""
    if not installation.native_gang:
        return (
            f"the cluster serves no {KIND} of {API_VERSION}, so the workers are scheduled one by one and may hold "
            "nodes while they wait for each other; spec.scheduling.gang: None silences this"
        )
    if wanted.gang is Gang.AUTO and wanted.scheduler_name not in (None, "", DEFAULT_SCHEDULER):
        return (
            f"scheduler {wanted.scheduler_name} may not know {KIND}s, so none is made; "
            "spec.scheduling.gang: Native makes one all the same, None silences this"
        )
    return None
