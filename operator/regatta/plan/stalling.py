"""A crew that hangs: all its processes live and none finishes a step."""

from __future__ import annotations

from datetime import datetime

from regatta.api.spec import TrainingJobSpec
from regatta.api.status import Cause, Phase, TrainingJobStatus
from regatta.plan.deadlines import stall
from regatta.plan.report import CrewWords
from regatta.plan.verdict import Verdict

__all__ = ["stalled"]


def stalled(
    spec: TrainingJobSpec, status: TrainingJobStatus, words: CrewWords | None, *, now: datetime
) -> Verdict | None:
    """Return the failure of an attempt that trains no more, None while it does or while nobody can tell."""
    limit = spec.deadlines.stalled
    if limit is None or status.phase is not Phase.RUNNING:
        return None
    quiet = stall(status, words, now=now)
    if quiet is None or quiet.seconds < limit:
        return None
    last = "no step was ever told" if quiet.step is None else f"the last was step {quiet.step}"
    return Verdict(
        cause=Cause.STALLED,
        message=f"no step was finished for {int(quiet.seconds)} s (spec.deadlines.stalled is {limit}); {last}",
        at=now,
    )
