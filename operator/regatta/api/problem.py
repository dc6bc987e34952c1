"""One thing that is wrong with a TrainingJob, and how paths to it are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Problem", "join"]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where it stands, and what to write instead."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def join(*steps: str | int) -> str:
    """A path as Kubernetes writes it: spec.env[0].name, spec.source.inline["my file"].

    The first step is taken as it is, so a path can be continued.
    """
    path = ""
    for step in steps:
        if not path:
            path = str(step)
        elif isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            path += f".{step}"
        else:
            path += '["' + step.replace("\\", "\\\\").replace('"', '\\"') + '"]'
    return path
