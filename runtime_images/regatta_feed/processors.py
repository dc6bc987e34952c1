"""How many processors there are for the feed: those it may run on, and no more than its cgroup's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["processors", "quota"]


def processors() -> int:
    """At least 1."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit = quota(Path("/sys/fs/cgroup/cpu.max").read_text())
    except OSError:
        limit = None
    return here if limit is None else max(1, min(here, limit))


def quota(text: str) -> int | None:
    """Processors that a cgroup's cpu.max allows, rounded up; None for no limit."""
    parts = text.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or int(parts[1]) == 0:
        return None
    return max(1, math.ceil(int(parts[0]) / int(parts[1])))
