"""Reads the launcher's termination message: what happened in a crew, told by the crew itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from regatta.api.status import Progress

__all__ = ["CrewFailure", "CrewReport", "CrewWords", "read_report"]

MESSAGE_LIMIT = 4096
"""The kubelet cuts termination messages here (core/v1 ContainerStateTerminated)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewFailure:
    """One failure that the crew met by a restart in place."""

    generation: int
    cause: str
    worker: int | None
    rank: int | None
    exit_code: int | None
    message: str
    at: datetime | None
    lost_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewWords:
    """What worker 0's launcher told while it ran."""

    heard_at: datetime
    attempt: int
    restarts: int
    failures: tuple[CrewFailure, ...]
    generation: int
    progress: Progress | None


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


def read_report(text: str) -> CrewReport | None:
    """Return the report in a termination message, None when it holds none (a foreign program's last words, say).

    The text comes from a container that runs a user's code: every value is checked, none is trusted.
    """
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
        outcome=fields["outcome"],
        cause=_text(fields.get("cause"), limit=64),
        worker=_number(fields.get("worker")),
        rank=_number(fields.get("rank")),
        exit_code=_number(fields.get("exitCode")),
        message=_text(fields.get("message"), limit=1024),
        restarts=_number(fields.get("restarts")) or 0,
        step=_number(progress.get("step")),
        total_steps=_number(progress.get("totalSteps")),
    )


def _text(value: object, *, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
