"""How a training script says how far it is: `report(step=7, total_steps=100)`. Cheap, never raises, optional.

Outside of Regatta a report does nothing. Inside, a few a second go to the launcher as datagrams on a local socket;
one that comes too soon after another is kept, and sent with the next or at the end of the program.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import time
from typing import Any, Dict, Optional

SOCKET_VARIABLE = "REGATTA_PROGRESS"
INTERVAL_SECONDS = 0.25

_socket: Optional[socket.socket] = None
_owner = 0  # the process that opened the socket: a forked DataLoader worker opens its own
_next_at = 0.0
_unsent: Optional[Dict[str, Any]] = None


def report(step: Optional[int] = None, total_steps: Optional[int] = None, epoch: Optional[float] = None) -> None:
    """Tell how many steps are done, of how many, and in which epoch; what is left out stays as it was."""
    global _next_at, _unsent
    try:
        if SOCKET_VARIABLE not in os.environ:
            return
        record = {"step": step, "totalSteps": total_steps, "epoch": epoch}
        _unsent = {**(_unsent or {}), **{k: v for k, v in record.items() if v is not None}}
        now = time.monotonic()
        last = step is not None and total_steps is not None and step >= total_steps
        if now >= _next_at or last:
            _next_at = now + INTERVAL_SECONDS
            _send()
    except Exception:  # measuring never breaks training
        pass


def _send() -> None:
    global _socket, _owner, _unsent
    if not _unsent:
        return
    if _socket is None or _owner != os.getpid():
        if _socket is None:
            atexit.register(_send_at_exit)
        _socket, _owner = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), os.getpid()
        _socket.setblocking(False)
    data = json.dumps({"rank": int(os.environ.get("RANK", "0")), **_unsent}, default=float).encode()
    # Abstract (the NUL in front): no file, so a read-only file system does not matter.
    _socket.sendto(data, "\0" + os.environ[SOCKET_VARIABLE])
    _unsent = None


def _send_at_exit() -> None:
    with contextlib.suppress(Exception):
        _send()
