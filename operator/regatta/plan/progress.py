"""How far the training is, from what the crew tells and what was known before."""

from __future__ import annotations

from regatta.api.status import Progress
from regatta.plan.report import CrewWords

__all__ = ["latest_progress"]


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


def _place(progress: Progress) -> tuple[object, ...]:
    return progress.step, progress.total_steps, progress.epoch, progress.fraction
