"""Hear SIGTERM from the first moment on: as process 1 of a container, one that comes before any handler is lost.

Imported first of all; the launcher takes over what has come until it listens itself.
"""

from __future__ import annotations

import signal
from typing import Any, List

received: List[int] = []


def _note(signum: int, frame: Any) -> None:
    received.append(signum)


for _signum in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_signum, _note)
