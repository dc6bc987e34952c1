"""Finds every process that a training process has left behind, wherever it has moved.

A process group misses those that made a session of their own (torchrun's workers do); so we also follow parents,
and look for a mark in the environment, which survives whatever a child does short of an execve with a clean one.
"""

from __future__ import annotations

import contextlib
import os
from typing import Dict, Iterable, List, Tuple

MARK = "REGATTA_MARK"


def find(leaders: Iterable[int], mark: str) -> List[int]:
    """Living processes (never ourselves) that are in the leaders' groups, descend from them, or carry the mark."""
    groups = set(leaders)
    wanted = f"{MARK}={mark}".encode()
    processes = _processes()
    found = {pid for pid, (_, group) in processes.items() if group in groups or pid in groups}
    found |= {pid for pid in processes if pid not in found and _carries(pid, wanted)}
    children: Dict[int, List[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    unseen: List[int] = list(found)
    while unseen:
        for child in children.get(unseen.pop(), ()):
            if child not in found:
                found.add(child)
                unseen.append(child)
    return sorted(found - {os.getpid()})


def kill(pids: Iterable[int], signum: int) -> None:
    """Signal them all; those that have gone meanwhile are fine."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def _processes() -> Dict[int, Tuple[int, int]]:
    """Parent and process group of every living process that we can see."""
    result = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The command's name in parentheses may hold anything, even parentheses.
                state, parent, group = file.read().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if state not in (b"Z", b"X"):
            result[int(name)] = (int(parent), int(group))
    return result


def _carries(pid: int, wanted: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return wanted in file.read(1 << 20).split(b"\0")
    except OSError:
        return False
