"""Processes of pods as the machine sees them: containers of the test cluster's nodes are processes of this host."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Process", "container_processes", "kill", "main_process", "training_process"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of a container."""

    pid: int
    parent: int
    inner_pid: int
    """Its pid inside the container; 1 is the container's main process."""
    environment: dict[str, str]


def container_processes(pod: dict[str, Any], *, container: str) -> list[Process]:
    """Living processes of a container; none where it does not run, or runs on another machine than this."""
    statuses = [*pod["status"].get("containerStatuses", []), *pod["status"].get("initContainerStatuses", [])]
    ids = [s.get("containerID", "") for s in statuses if s["name"] == container and "running" in s.get("state", {})]
    return list(_with_cgroup(ids[0].rpartition("/")[2])) if ids and ids[0] else []


def main_process(pod: dict[str, Any], *, container: str) -> Process | None:
    """The container's process 1."""
    return next((p for p in container_processes(pod, container=container) if p.inner_pid == 1), None)


def training_process(pod: dict[str, Any], *, rank: int) -> Process | None:
    """The process that trains as this rank: the topmost one whose environment says so."""
    ranked = [p for p in container_processes(pod, container="trainer") if p.environment.get("RANK") == str(rank)]
    pids = {p.pid for p in ranked}
    return next((p for p in ranked if p.parent not in pids), None)


def kill(process: Process) -> None:
    """SIGKILL."""
    os.kill(process.pid, signal.SIGKILL)


def _with_cgroup(container_id: str) -> Iterator[Process]:
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if container_id not in (entry / "cgroup").read_text():
                continue
            status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
            raw = (entry / "environ").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if status.get("State", "").split()[:1] == ["Z"]:
            continue
        yield Process(
            pid=int(entry.name),
            parent=int(status["PPid"]),
            inner_pid=int(status["NSpid"].split()[-1]),
            environment=dict(pair.split("=", 1) for pair in raw.split("\0") if "=" in pair),
        )
