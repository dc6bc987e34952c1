"""What a job without a living crew tells of itself: its failures, its end, the pause before its next attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from regatta.api.status import Cause, Failure, FailureAction, Phase, TrainingJobStatus
from regatta.cli.chain import Link
from regatta.cli.text import one_line, span
from regatta.plan.refusals import fix_in
from regatta.plan.starting import CANNOT_START

__all__ = ["failure_links", "told_by_status"]

FAILURES_TOLD: Final = 3

_REMEDIES: Final[Mapping[str, str]] = {
    Cause.OOM_KILLED: "raise spec.resources.limits.memory, or use less (a smaller batch)",
    "StartingDeadline": "see what hindered it; spec.deadlines.starting is how long it may take",
    "QueuedDeadline": "see what hindered it; spec.deadlines.queued is how long it may wait",
    "ActiveDeadline": "spec.deadlines.active is how long it may train",
    Cause.INVALID_SPEC: "correct the spec, delete the job and apply it anew",
    Cause.INVALID_IMAGE_NAME: "correct spec.image, delete the job and apply it anew",
    Cause.STALLED: "find out where it hangs; spec.deadlines.stalled is how long it may",
    Cause.IMAGE_ERROR: "correct the image or its pull secret, then apply the job anew",
}
_DONE: Final = {
    FailureAction.RESTARTED_IN_PLACE: "restarted in place",
    FailureAction.NEW_ATTEMPT: "a new attempt was made",
    FailureAction.JOB_FAILED: "the job was given up",
}


def failure_links(status: TrainingJobStatus, *, now: datetime) -> Iterator[Link]:
    """The last failures, newest last, each with what was done about it."""
    told = status.failures[-FAILURES_TOLD:]
    left_out = sum(status.failure_counts.values()) - len(told)
    if left_out > 0:
        yield Link("failure", f"{left_out} earlier failure{'s' if left_out > 1 else ''} (regatta status lists them)")
    for failure in told:
        done = "" if failure.action is None else f"; {_DONE[failure.action]}"
        yield Link("failure", f"{_failed(failure, now=now)}{done}")


def _failed(failure: Failure, *, now: datetime) -> str:
    where = " ".join(filter(None, (one_line(failure.pod), failure.node and f"on {one_line(failure.node)}")))
    ago = span((now - failure.at).total_seconds())
    words = one_line(failure.message, width=300)
    return f"attempt {failure.attempt} failed {ago} ago ({failure.cause}{where and f', {where}'}): {words}"


def told_by_status(job: Mapping[str, Any], status: TrainingJobStatus, *, now: datetime) -> tuple[str, str, str]:
    """Obstacle, fix and summary of a job that holds no crew: its status is all there is to know."""
    name, message = one_line((job.get("metadata") or {}).get("name", "")), one_line(status.message)
    if status.phase is Phase.SUCCEEDED:
        took = (
            f", took {span((status.completion_time - status.start_time).total_seconds())}"
            if status.completion_time and status.start_time
            else ""
        )
        return "", "", f"{message}{took}"
    if status.phase is Phase.SUSPENDED:
        if (job.get("spec") or {}).get("suspend"):
            patch = """'{"spec":{"suspend":false}}'"""
            return (
                "spec.suspend is true, so the job holds nothing",
                f"kubectl patch tj {name} --type merge -p {patch}",
                "",
            )
        return "", "the operator makes the next attempt in a moment", "spec.suspend is false again"
    if status.phase is Phase.RESTARTING:
        pause = status.next_try_time
        left = 0.0 if pause is None else (pause - now).total_seconds()
        when = f"starts in {span(left)}" if left >= 1 else "is being started"
        return message, f"none needed: attempt {status.attempt} {when}", ""
    causes = (status.reason, *(failure.cause.value for failure in status.failures[-1:]))
    remedy = next((_REMEDIES[cause] for cause in causes if cause in _REMEDIES), "")
    what, fix = fix_in(message) if status.reason == Cause.INVALID_SPEC and "; " in message else (message, "")
    last = status.failures[-1].message if status.failures else ""
    if CANNOT_START in last and status.reason == Cause.USER_ERROR:
        return f"{one_line(status.reason)}: {what}", fix_in(one_line(last))[1], ""  # and there is no log to look at
    logs = f"the program's last lines: regatta logs {name}" if last else ""
    return f"{one_line(status.reason)}: {what}", "; ".join(filter(None, (fix or remedy, logs))), ""
