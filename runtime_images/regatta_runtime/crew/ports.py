"""Finds a port that nothing uses, for one generation's rendezvous."""

from __future__ import annotations

import os
import socket
from typing import FrozenSet, List, Set, Tuple

LOCAL_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
# In order of preference: below the usual ephemeral ports and above what services choose.
CANDIDATES = ((20_000, 29_999), (10_000, 19_999), (61_000, 65_535), (2_000, 8_999))


def fresh_port(used: FrozenSet[int] = frozenset()) -> int:
    """A port of this machine that is free now, not in `used`, and not one the kernel hands out by itself.

    A port of the ephemeral range could become some outgoing connection's between this check and the moment rank 0
    opens it; outside of the range nothing takes it by accident.
    """
    low, high = _ephemeral()
    for first, last in outside(CANDIDATES, low, high):
        for _ in range(50):
            port = first + int.from_bytes(os.urandom(4), "big") % (last - first + 1)
            if port not in used and is_free(port):
                return port
    with socket.socket() as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])


class Offer:
    """A worker's own port for the next generation: looked at again whenever it is offered, never used twice."""

    def __init__(self, *used: int) -> None:
        self._used: Set[int] = set(used)
        self._port = 0

    def current(self) -> int:
        """A port that is free now; the same as before unless something took it meanwhile."""
        if not self._port or not is_free(self._port):
            self._port = fresh_port(frozenset(self._used))
        return self._port

    def take(self) -> None:
        """A generation has begun on this port: the next one gets another."""
        self._used.add(self._port)
        self._port = 0


def is_free(port: int) -> bool:
    """Whether a server could open this port on every address."""
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
        except OSError:
            if family == socket.AF_INET or socket.has_dualstack_ipv6():
                return False
    return True


def outside(ranges: Tuple[Tuple[int, int], ...], low: int, high: int) -> List[Tuple[int, int]]:
    """The parts of `ranges` that do not touch low..high."""
    parts = []
    for first, last in ranges:
        parts += [(first, min(last, low - 1)), (max(first, high + 1), last)]
    return [(first, last) for first, last in parts if first <= last]


def _ephemeral() -> Tuple[int, int]:
    try:
        with open(LOCAL_RANGE) as file:
            low, high = file.read().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 32_768, 60_999
