"""What a case of the tables of good and bad jobs is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Bad", "Good", "job"]

DIGITS = {"framework": "PyTorch", "command": ["python", "train.py"]}


def job(name: str = "digits", **spec: Any) -> dict[str, Any]:
    """A sound job, with the given fields of its spec on top; a field that is `...` is taken out."""
    merged = {**DIGITS, **spec}
    return {
        "apiVersion": "regatta.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {key: value for key, value in merged.items() if value is not ...},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A job, the path of what is wrong with it, and words that both refusals must hold."""

    title: str
    job: dict[str, Any]
    path: str
    words: tuple[str, ...] = ()
    server: bool = True
    server_words: tuple[str, ...] | None = None
    """Where the API server's own validation speaks before ours, in other words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A job that must be taken."""

    title: str
    job: dict[str, Any] = field(default_factory=job)
