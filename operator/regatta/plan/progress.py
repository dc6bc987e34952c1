"""How far the training is, from what the crew tells and what was known before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from regatta.api.status import Progress, TrainingJobStatus
from regatta.plan.crew import Crew, report_of
from regatta.plan.report import CrewWords

__all__ = ["has_changed", "latest_efficiency", "latest_progress", "steps_done"]

NOTEWORTHY: Final = 0.05
"""A change of a measured value by less is no reason to write a status: every look would find some."""


def latest_progress(known: Progress | None, words: CrewWords | None) -> Progress | None:
    """Return the progress to store: what is known stays word for word while the crew stands where it stood.

    Else the remaining time, which drifts by itself, would have every look write a status.
    """
    told = words.progress if words is not None else None
    if told is None:
        return known
    if known is not None and _place(told) == _place(known):
        return known
    return told


def steps_done(status: TrainingJobStatus, crew: Crew, words: CrewWords | None) -> int:
    """The highest step that this attempt or one before it is known to have finished: whoever does it again, reworks.

    It is compared with what the instruments count, so what they say counts, and a program's own count only without it.
    """
    report = report_of(crew.members[0]) if 0 in crew.members else None
    counted = [told.global_step for told in (words, report) if told is not None]
    own = [told.step for told in (status.progress, words.progress if words is not None else None, report) if told]
    known = [step for step in counted if step is not None] or [step for step in own if step is not None]
    return max([status.steps_done, *known])


def latest_efficiency(known: Mapping[str, float], pace: Mapping[str, float]) -> dict[str, float]:
    """Return the efficiency to store: what was told, where it tells something new, beside what others measured."""
    return {**known, **pace} if has_changed(known, pace) else dict(known)


def has_changed(known: Mapping[str, float], told: Mapping[str, float]) -> bool:
    """Whether any told value is missing from what is known, or noteworthily different."""
    return any(
        name not in known or abs(value - known[name]) > NOTEWORTHY * max(abs(known[name]), _least(name))
        for name, value in told.items()
    )


def _least(name: str) -> float:
    # Of a fraction near zero any change is a large one.
    return 0.2 if name.endswith(("Fraction", "Utilization")) else 0.0


def _place(progress: Progress) -> tuple[object, ...]:
    return progress.step, progress.total_steps, progress.epoch, progress.fraction
