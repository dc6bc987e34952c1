"""How a training script says how far it is: `report(step=7, total_steps=100)`. Cheap, never raises, optional.

Outside of Regatta a report does nothing. Inside, a few a second go to the launcher as datagrams on a local socket;
one that comes too soon after another is kept, and sent with the next or at the end of the program.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from typing import Any, Dict, Optional

from regatta_runtime import courier
from regatta_runtime.courier import SOCKET_VARIABLE
from regatta_runtime.measure import meter

INTERVAL_SECONDS = 0.25

_next_at = 0.0
_unsent: Optional[Dict[str, Any]] = None
_waits = False  # for the end of the program, to send what is unsent then


def report(step: Optional[int] = None, total_steps: Optional[int] = None, epoch: Optional[float] = None) -> None:
    """Tell how many steps are done, of how many, and in which epoch; what is left out stays as it was."""
    global _next_at, _unsent, _waits
    try:
        if SOCKET_VARIABLE not in os.environ:
            return
        measuring = meter.the_one()
        if measuring is not None and step is not None:
            measuring.position.reported(step, steps=measuring.steps)
        record = {"step": step, "totalSteps": total_steps, "epoch": epoch}
        _unsent = {**(_unsent or {}), **{k: v for k, v in record.items() if v is not None}}
        if not _waits:
            _waits = True
            atexit.register(_send_at_exit)
        now = time.monotonic()
        last = step is not None and total_steps is not None and step >= total_steps
        if now >= _next_at or last:
            _next_at = now + INTERVAL_SECONDS
            _send()
    except Exception:  # measuring never breaks training
        pass


def _send() -> None:
    global _unsent
    if _unsent:
        courier.send(_unsent)
        _unsent = None


def _send_at_exit() -> None:
    with contextlib.suppress(Exception):
        _send()
