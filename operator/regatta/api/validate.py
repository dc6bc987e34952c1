"""Checks a TrainingJob as it came from the API server or from a file: every problem, with its exact path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from regatta.api.spec import TrainingJobSpec

__all__ = ["Problem", "check"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where it stands, and what to write instead."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def check(raw: Mapping[str, Any]) -> tuple[TrainingJobSpec | None, tuple[Problem, ...]]:
    """The spec, or None where it can't be read at all, and everything that is wrong with the object."""
    try:
        return TrainingJobSpec.from_api(raw.get("spec")), ()
    except ValidationError as error:
        return None, tuple(Problem(".".join(map(str, ("spec", *e["loc"]))), e["msg"]) for e in error.errors())
