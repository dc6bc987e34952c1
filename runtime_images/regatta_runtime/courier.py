"""Carries small records from a training process to its launcher, as datagrams on a local socket."""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Dict, Optional

SOCKET_VARIABLE = "REGATTA_PROGRESS"

_socket: Optional[socket.socket] = None
_owner = 0  # the process that opened the socket: a forked DataLoader worker opens its own


def send(record: Dict[str, Any]) -> None:
    """Send one record under this process's rank; OSError or KeyError where there is no launcher that listens."""
    global _socket, _owner
    if _socket is None or _owner != os.getpid():
        _socket, _owner = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), os.getpid()
        _socket.setblocking(False)
    data = json.dumps({"rank": int(os.environ.get("RANK", "0")), **record}, default=float).encode()
    # Abstract (the NUL in front): no file, so a read-only file system does not matter.
    _socket.sendto(data, "\0" + os.environ[SOCKET_VARIABLE])
