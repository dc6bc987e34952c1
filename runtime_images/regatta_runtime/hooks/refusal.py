"""Ends a training process that cannot train as its job asks, and lets the launcher tell the job why."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from regatta_runtime import courier

EXIT_CODE = 78  # EX_CONFIG


def refuse(why: str) -> NoReturn:
    """Say why and end this process at once: an exception could be caught, or wait for threads that never end."""
    print(f"[regatta] {why}", file=sys.stderr)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(Exception):
        courier.send({"rank": _rank(), "refusal": why})
    os._exit(EXIT_CODE)


def _rank() -> int:
    """This process's rank; the pod's first for a command that starts the ranks itself."""
    first = int(os.environ.get("REGATTA_WORKER", "0")) * int(os.environ.get("REGATTA_PROCESSES", "1"))
    return int(os.environ.get("RANK", first))
