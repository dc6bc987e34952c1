"""What a failure costs and when the next attempt may start: one table, one budget, one pause."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from regatta.api.spec import Action, RestartRule, TrainingJobSpec
from regatta.api.status import Cause, Failure, FailureAction

__all__ = ["COUNTED", "FATAL", "decisive_rule", "fails", "fatal_exit_codes", "is_fatal_oom", "pause"]

COUNTED: Final = frozenset({Cause.USER_ERROR, Cause.OOM_KILLED, Cause.STALLED, Cause.CREATE_ERROR})
"""Causes that spend restart.maxRestarts. What the cluster does to a job (a lost node, a preemption) spends nothing."""

FATAL: Final = frozenset({Cause.INVALID_SPEC, Cause.INVALID_IMAGE_NAME, Cause.CONFIG_ERROR})
"""Causes that another attempt cannot heal. A ConfigError that only hinders an attempt from starting is no failure."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
MEMORY: Final = timedelta(hours=1)
"""Failures older than this lengthen the pause no more: a job that trained for hours restarts at once."""
JITTER: Final = 0.2
SIGKILL_CODE: Final = 137


def fails(cause: Cause, *, exit_code: int | None, spec: TrainingJobSpec, restarts_used: int) -> bool:
    """Decide whether a failure ends the job, given how much of the budget is spent including this failure.

    A rule can forbid a restart, or save a failure from a later rule; no rule gives more restarts than the budget.
    """
    if cause in FATAL:
        return True
    rule = decisive_rule(spec.restart.rules, cause=cause, exit_code=exit_code)
    if rule is not None and spec.restart.rules[rule].action is Action.FAIL:
        return True
    return cause in COUNTED and restarts_used > spec.restart.max_restarts


def decisive_rule(rules: Sequence[RestartRule], *, cause: Cause, exit_code: int | None) -> int | None:
    """Index of the first rule that matches: everything it names, exit codes and causes, must be so."""
    for index, rule in enumerate(rules):
        if rule.exit_codes and exit_code not in rule.exit_codes:
            continue
        if rule.causes and cause not in rule.causes:
            continue
        return index
    return None


def fatal_exit_codes(rules: Sequence[RestartRule]) -> tuple[int, ...]:
    """Exit codes of a program with which the job fails: the crew must not restart in place after them."""
    return tuple(code for code in range(1, 256) if _forbids(rules, cause=Cause.USER_ERROR, exit_code=code))


def is_fatal_oom(rules: Sequence[RestartRule]) -> bool:
    """Whether the job fails when a training process is killed for memory."""
    return _forbids(rules, cause=Cause.OOM_KILLED, exit_code=SIGKILL_CODE)


def _forbids(rules: Sequence[RestartRule], *, cause: Cause, exit_code: int) -> bool:
    rule = decisive_rule(rules, cause=cause, exit_code=exit_code)
    return rule is not None and rules[rule].action is Action.FAIL


def pause(failures: Sequence[Failure], *, uid: str, attempt: int, now: datetime) -> float:
    """Seconds to wait before `attempt`: none after the first failed attempt of an hour, then doubled by each.

    The jitter is derived from the job's uid: jobs that failed together do not return together, and the same job
    always gets the same answer.
    """
    recent = sum(
        now - failure.at < MEMORY for failure in failures if failure.action is not FailureAction.RESTARTED_IN_PLACE
    )
    if recent < 2:
        return 0.0
    length = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (recent - 2))
    digest = hashlib.sha256(f"{uid}/{attempt}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return length * (1 + JITTER * (2 * share - 1))
