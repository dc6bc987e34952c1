"""What a report tells of a job, whoever knows it: the job's status, a Prometheus, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Chart", "Curve", "Event", "Story"]

Points = tuple[tuple[float, float], ...]
"""Unix seconds and values, in the order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of a chart, or one area of a stack."""

    name: str
    points: Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Curves over time that share an axis."""

    title: str
    words: str
    unit: str
    """"" for a plain number, "s" for seconds, "%" for a share from 0 to 1."""
    curves: tuple[Curve, ...]
    step: float
    """Seconds between points: where the distance is much larger, nothing was told."""
    stacked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One failure, and what was done about it."""

    at: datetime
    attempt: int
    cause: str
    where: str
    message: str
    action: str
    lost_seconds: float | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All of it. What is not known is empty, and the page says so."""

    namespace: str
    name: str
    made_at: datetime
    framework: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    shape: str = ""
    attempt: int | None = None
    restarts: str = ""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    progress: str = ""
    accelerators: int = 0
    workers: int = 0
    ledger: Mapping[str, float] = field(default_factory=dict)
    efficiency: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[Event, ...] = ()
    failure_counts: Mapping[str, int] = field(default_factory=dict)
    charts: tuple[Chart, ...] = ()
    restarts_at: tuple[float, ...] = ()
    """When a new attempt began, in Unix seconds: marked in the charts."""
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be told, and why."""
