"""What a failure costs and when the next attempt may start: one table, one budget, one pause."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from regatta.api.spec import Action, TrainingJobSpec
from regatta.api.status import Cause, Failure

__all__ = ["COUNTED", "FATAL", "action", "pause"]

COUNTED: Final = frozenset({Cause.USER_ERROR, Cause.OOM_KILLED, Cause.STALLED, Cause.CREATE_ERROR})
"""Causes that spend restart.maxRestarts. What the cluster does to a job (a lost node, a preemption) spends nothing."""

FATAL: Final = frozenset({Cause.INVALID_SPEC, Cause.INVALID_IMAGE_NAME})
"""Causes that another attempt cannot heal."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
MEMORY: Final = timedelta(hours=1)
"""Failures older than this lengthen the pause no more: a job that trained for hours restarts at once."""
JITTER: Final = 0.2


def action(cause: Cause, *, spec: TrainingJobSpec, restarts_used: int) -> Action:
    """Decide what follows a failure, given how much of the budget is spent including this failure."""
    if cause in FATAL:
        return Action.FAIL
    if cause in COUNTED and restarts_used > spec.restart.max_restarts:
        return Action.FAIL
    return Action.RESTART


def pause(failures: Sequence[Failure], *, uid: str, attempt: int, now: datetime) -> float:
    """Seconds to wait before `attempt`: none after the first failure of an hour, then doubled by each, with jitter.

    The jitter is derived from the job's uid: jobs that failed together do not return together, and the same job
    always gets the same answer.
    """
    recent = sum(now - failure.at < MEMORY for failure in failures)
    if recent < 2:
        return 0.0
    length = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (recent - 2))
    digest = hashlib.sha256(f"{uid}/{attempt}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return length * (1 + JITTER * (2 * share - 1))
