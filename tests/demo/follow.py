"""Follows a job in a terminal: one line whenever its status says something new."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.cluster.kit import Api

__all__ = ["FollowError", "follow"]

WIDTH: Final = 80
POLL: Final = 0.5


class FollowError(Exception):
    """The job did not succeed."""


def follow(api: Api, *, namespace: str, name: str, patience: float) -> None:
    """Print the job's way to its success; raise FollowError when it fails or takes longer than `patience` seconds."""
    started = time.monotonic()
    last = ""
    while True:
        status = api.get("trainingjobs", name, namespace=namespace).get("status", {})
        line = describe(status)
        if line != last:
            print(f"  {time.monotonic() - started:5.1f} s  {line}"[:WIDTH], flush=True)
            last = line
        if status.get("phase") == "Succeeded":
            return
        if status.get("phase") == "Failed":
            raise FollowError(f"{name} failed: {status.get('reason')}: {status.get('message')}")
        if time.monotonic() - started > patience:
            raise FollowError(f"{name} did not end within {patience:.0f} s")
        time.sleep(POLL)


def describe(status: dict[str, Any]) -> str:
    """One line: phase, how many workers train, and the message."""
    if not status:
        return "waits for the operator"
    workers = status.get("workers", {})
    share = status.get("progress", {}).get("fraction")
    progress = f" {share:.0%}" if share is not None else ""
    ready = f"{workers.get('ready', 0)}/{workers.get('desired', 0)}"
    return f"{status.get('phase', ''):<10} {ready}{progress}  {status.get('message', '')}"
