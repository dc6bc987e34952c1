"""What happened in a crew, told by the crew itself: while it runs, and in its launchers' termination messages.

Both come from containers that run a user's code: every value is checked, none is trusted, and what is no good is
taken for not said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from regatta.api.status import Progress

__all__ = [
    "MAX_STEP",
    "RUNTIME_STATES",
    "CrewFailure",
    "CrewReport",
    "CrewTime",
    "CrewWords",
    "count_in",
    "number_in",
    "read_failures",
    "read_pace",
    "read_report",
    "read_time",
]

MESSAGE_LIMIT: Final = 4096
"""The kubelet cuts termination messages here (core/v1 ContainerStateTerminated)."""
FAILURES_KEPT: Final = 5
"""The launcher keeps no more; the count of restarts is complete."""
TEXT_LIMIT: Final = 1024
CAUSE_LIMIT: Final = 64
MAX_COUNT: Final = 2**31 - 1
MAX_STEP: Final = 2**53
MAX_SECONDS: Final = 1e9
PACE: Final = {
    "samplesPerSecond": 1e12,
    "stepSeconds": MAX_SECONDS,
    "dataStallFraction": 1.0,
    "gpuUtilization": 1.0,
    "memoryUsedFraction": 1.0,
}
"""What a launcher tells of the steps and of what they use, and the most that is believed."""
RUNTIME_STATES: Final = (
    "init",
    "rendezvous",
    "compile",
    "step",
    "data_wait",
    "checkpoint_save",
    "checkpoint_restore",
    "rework",
    "eval",
    "idle",
)
"""States of the program, in which a launcher tells the time of its lowest rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewFailure:
    """One failure that the crew overcame in place."""

    generation: int
    cause: str
    worker: int | None
    rank: int | None
    exit_code: int | None
    message: str
    at: datetime | None
    """By the clock of the worker's node."""
    lost_seconds: float | None
    """Until the next generation started; None before it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewTime:
    """Where the time of worker 0's lowest rank went, over all generations of the attempt."""

    elapsed: float
    """Seconds since the attempt's first generation began, when this was told."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By state; what is not told yet is in none. Empty where nothing is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewWords:
    """What a running crew tells of itself, by worker 0's launcher."""

    heard_at: datetime
    """When it answered last, whether or not it had news."""
    attempt: int
    restarts: int
    """In-place restarts that this attempt has used."""
    failures: tuple[CrewFailure, ...]
    """Those that led to these restarts, newest last; at most `FAILURES_KEPT` are remembered."""
    generation: int
    """The generation that runs or ran last, 0 before the first."""
    progress: Progress | None
    """`updated_at` is the time of the last step, not of this answer; None where the program tells nothing."""
    pace: Mapping[str, float] = field(default_factory=dict)
    """How the steps went of late, under the names that status.efficiency uses; empty where nothing was measured."""
    time: CrewTime | None = None
    """None before the first generation, and from launchers that keep no such books."""
    global_step: int | None = None
    """At which step of the whole training the instruments are; None where they do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewReport:
    """The first failure of the crew's last generation, the same in every pod of the crew."""

    outcome: str
    cause: str
    worker: int | None
    rank: int | None
    exit_code: int | None
    message: str
    restarts: int
    """In-place restarts that this attempt has used."""
    step: int | None = None
    """How far this pod's training came, where its program told."""
    total_steps: int | None = None
    failures: tuple[CrewFailure, ...] = ()
    """Those of the generations before the last one, newest last."""
    pace: Mapping[str, float] = field(default_factory=dict)
    """As `CrewWords.pace`, at the end."""
    time: CrewTime | None = None
    """As `CrewWords.time`, at the end."""
    global_step: int | None = None
    """As `CrewWords.global_step`, at the end."""


def read_report(text: str) -> CrewReport | None:
    """Return the report in a termination message, None when it holds none (a foreign program's last words, say)."""
    if not text.startswith("{") or len(text) > MESSAGE_LIMIT:
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("version") != 1 or not isinstance(fields.get("outcome"), str):
        return None
    progress = fields.get("progress")
    progress = progress if isinstance(progress, dict) else {}
    return CrewReport(
        outcome=_text(fields, "outcome", limit=CAUSE_LIMIT),
        cause=_text(fields, "cause", limit=CAUSE_LIMIT),
        worker=count_in(fields, "worker"),
        rank=count_in(fields, "rank"),
        exit_code=count_in(fields, "exitCode"),
        message=_text(fields, "message", limit=TEXT_LIMIT),
        restarts=count_in(fields, "restarts") or 0,
        step=count_in(progress, "step"),
        total_steps=count_in(progress, "totalSteps"),
        failures=read_failures(fields.get("failures")),
        pace=read_pace(fields.get("pace")),
        time=read_time(fields.get("time")),
        global_step=count_in(fields, "globalStep", most=MAX_STEP),
    )


def read_pace(told: object) -> dict[str, float]:
    """What was measured of the steps, each value only where it can be one."""
    if not isinstance(told, dict):
        return {}
    found = {name: number_in(told, name, most=most) for name, most in PACE.items()}
    return {name: value for name, value in found.items() if value is not None}


def read_time(told: object) -> CrewTime | None:
    """Where the time went, each state only where it can be one; None where nobody says how long it was in all."""
    if not isinstance(told, dict):
        return None
    elapsed = number_in(told, "elapsed")
    if elapsed is None:
        return None
    spent = told.get("seconds")
    found = {state: number_in(spent, state) for state in RUNTIME_STATES} if isinstance(spent, dict) else {}
    return CrewTime(elapsed=elapsed, seconds={state: value for state, value in found.items() if value})


def read_failures(told: object) -> tuple[CrewFailure, ...]:
    """The failures in a list of them, newest last; entries that name no generation are none."""
    if not isinstance(told, list):
        return ()
    return tuple(failure for entry in told[-FAILURES_KEPT:] if (failure := _failure(entry)) is not None)


def count_in(fields: Mapping[str, Any], key: str, *, most: int = MAX_COUNT) -> int | None:
    """A whole number from 0 to `most`, None where there is no such."""
    value = fields.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def number_in(fields: Mapping[str, Any], key: str, *, most: float = MAX_SECONDS) -> float | None:
    """A number from 0 to `most`, None where there is no such."""
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return float(value)


def _failure(entry: object) -> CrewFailure | None:
    if not isinstance(entry, dict):
        return None
    generation = count_in(entry, "generation")
    if generation is None:
        return None
    return CrewFailure(
        generation=generation,
        cause=_text(entry, "cause", limit=CAUSE_LIMIT),
        worker=count_in(entry, "worker"),
        rank=count_in(entry, "rank"),
        exit_code=count_in(entry, "exitCode"),
        message=_text(entry, "message", limit=TEXT_LIMIT),
        at=_time(entry, "at"),
        lost_seconds=number_in(entry, "lostSeconds"),
    )


def _text(fields: Mapping[str, Any], key: str, *, limit: int) -> str:
    value = fields.get(key)
    # Half a surrogate pair can be written in JSON, and could then be sent to nobody.
    return value[:limit].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _time(fields: Mapping[str, Any], key: str) -> datetime | None:
    value = fields.get(key)
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        time = datetime.fromisoformat(value)
        return None if time.tzinfo is None else time.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None
