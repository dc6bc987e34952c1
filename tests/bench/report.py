"""Results and how they are shown: a line a measurement, with its goal where there is one."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Result", "machine", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measurement."""

    what: str
    value: str
    against: str = ""
    ratio: float | None = None
    goal: float | None = None
    """The largest ratio that is good enough; None where the number is only told."""

    @property
    def missed(self) -> bool:
        """Whether there is a goal and the ratio is beyond it."""
        return self.goal is not None and (self.ratio is None or self.ratio > self.goal)


def table(results: Iterable[Result]) -> str:
    """The results as text within 100 columns."""
    lines = [f"{'measured':<44} {'value':>12} {'against':>12} {'ratio':>7} {'goal':>6}", "-" * 86]
    for result in results:
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        goal = "" if result.goal is None else f"{result.goal:.2f}"
        mark = "  MISSED" if result.missed else ""
        lines.append(f"{result.what:<44} {result.value:>12} {result.against:>12} {ratio:>7} {goal:>6}{mark}")
    return "\n".join(lines)


def machine() -> str:
    """The machine the numbers are from, in a line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}, Linux {platform.release()}"
