"""CPU and memory of this container, from its control group of either version; nothing is told that is not there."""

from __future__ import annotations

import os
from typing import Dict, List, Optional

from regatta_runtime.measure.exposition import family

ROOT = "/sys/fs/cgroup"
UNLIMITED = 2**60  # version 1 writes "no limit" as a number of about 2**63


def lines(root: str = ROOT) -> List[str]:
    """Prometheus' lines of what the container uses."""
    found = _used(root)
    kinds = (
        ("cpu_seconds_total", "counter", "CPU time of the container"),
        ("cpu_throttled_seconds_total", "counter", "Time in which the container's CPU limit held it up"),
        ("memory_working_set_bytes", "gauge", "Memory of the container without caches that can be dropped"),
        ("memory_limit_bytes", "gauge", "Memory limit of the container"),
    )
    result = []
    for name, kind, text in kinds:
        value = found.get(name)
        if value is not None:
            result += family(f"regatta_runtime_{name}", kind, text, [({}, value)])
    return result


def memory_used_fraction(root: str = ROOT) -> Optional[float]:
    """How much of its memory limit the container uses; None where there is no limit."""
    found = _used(root)
    used, limit = found["memory_working_set_bytes"], found["memory_limit_bytes"]
    return None if used is None or not limit else min(1.0, used / limit)


def _used(root: str) -> Dict[str, Optional[float]]:
    return _second(root) if os.path.exists(os.path.join(root, "cgroup.controllers")) else _first(root)


def _second(root: str) -> Dict[str, Optional[float]]:
    cpu, memory = _table(root, "cpu.stat"), _table(root, "memory.stat")
    return {
        "cpu_seconds_total": _scaled(cpu.get("usage_usec"), 1e-6),
        "cpu_throttled_seconds_total": _scaled(cpu.get("throttled_usec"), 1e-6),
        "memory_working_set_bytes": _working_set(_whole(root, "memory.current"), memory.get("inactive_file")),
        "memory_limit_bytes": _limit(_whole(root, "memory.max")),
    }


def _first(root: str) -> Dict[str, Optional[float]]:
    memory = os.path.join(root, "memory")
    throttled = _table(os.path.join(root, "cpu"), "cpu.stat").get("throttled_time")
    inactive = _table(memory, "memory.stat").get("total_inactive_file")
    return {
        "cpu_seconds_total": _scaled(_whole(os.path.join(root, "cpuacct"), "cpuacct.usage"), 1e-9),
        "cpu_throttled_seconds_total": _scaled(throttled, 1e-9),
        "memory_working_set_bytes": _working_set(_whole(memory, "memory.usage_in_bytes"), inactive),
        "memory_limit_bytes": _limit(_whole(memory, "memory.limit_in_bytes")),
    }


def _working_set(used: Optional[int], inactive: Optional[int]) -> Optional[float]:
    """As the kubelet counts it."""
    return None if used is None else float(max(0, used - (inactive or 0)))


def _limit(found: Optional[int]) -> Optional[float]:
    return None if found is None or found >= UNLIMITED else float(found)


def _scaled(value: Optional[int], by: float) -> Optional[float]:
    return None if value is None else value * by


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii") as file:
            return file.read(65536)
    except (OSError, ValueError):
        return ""


def _whole(folder: str, name: str) -> Optional[int]:
    text = _read(folder, name).strip()
    return int(text) if text.isdigit() else None


def _table(folder: str, name: str) -> Dict[str, int]:
    rows = (line.split() for line in _read(folder, name).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
