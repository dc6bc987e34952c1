"""What feed and training process say to each other: one JSON line each to begin with, then records of fixed size.

Batches lie in a file that both have mapped; through the socket goes only which slot is full and which is free again.
Both ends use this file. Whoever is gone is noticed at once, because the socket ends.

    client                               feed
    {"queue": 0, "epoch": 2, ...}\\n  ->
                                     <-  {"ring": "queue-0-1.ring", "fields": [...], ...}\\n   or {"error": "..."}\\n
                                     <-  BATCH slot, turn, epoch, step, count   (again and again)
    FREE slot                         ->
    SEEK turn, epoch, step            ->  batches of an older turn that are on their way are given back
                                     <-  END                                     after the last epoch
                                     <-  ERROR length, text                      the feed gives up
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Dict, NamedTuple, Tuple

VERSION = 1
SOCKET = "feed.sock"
LINE_LIMIT = 1 << 20
TEXT_LIMIT = 1 << 16
HEADER_SIZE = 64
ALIGNMENT = 64  # what TensorFlow and SIMD loads want of an array
PAGE = 4096

BATCH, END, ERROR, FREE, SEEK = 1, 2, 3, 4, 5

_RECORD = struct.Struct("<IIQQQQ")
RECORD_SIZE = _RECORD.size
_HEADER = struct.Struct("<8sQQQQ")
_MAGIC = b"REGATTA1"


class Record(NamedTuple):
    """One record, of either direction; what does not belong to its kind is 0."""

    kind: int
    slot: int = 0
    turn: int = 0
    epoch: int = 0
    step: int = 0
    count: int = 0

    def pack(self) -> bytes:
        """The record as it is sent."""
        return _RECORD.pack(*self)


def unpack(data: bytes) -> Record:
    """The record of RECORD_SIZE bytes."""
    return Record(*_RECORD.unpack(data))


unpack_plain = _RECORD.unpack
"""The same as a plain tuple, for what is done with every batch."""


def pack_header(buffer: Any, offset: int, *, turn: int, epoch: int, step: int, count: int) -> None:
    """Say in a slot itself what is in it."""
    _HEADER.pack_into(buffer, offset, _MAGIC, turn, epoch, step, count)


def unpack_header(buffer: Any, offset: int) -> Tuple[int, int, int, int]:
    """turn, epoch, step and count of a slot; raises ValueError where there are none."""
    magic, turn, epoch, step, count = _HEADER.unpack_from(buffer, offset)
    if magic != _MAGIC:
        raise ValueError("the slot holds no batch")
    return turn, epoch, step, count


def send_line(sock: socket.socket, message: Dict[str, Any]) -> None:
    """Send one JSON line."""
    sock.sendall(json.dumps(message).encode("utf-8") + b"\n")


def receive_line(sock: socket.socket) -> Dict[str, Any]:
    """Receive one JSON line and not a byte more; raises ConnectionError where the other end is gone."""
    line = bytearray()
    while not line.endswith(b"\n"):
        peeked = sock.recv(4096, socket.MSG_PEEK)
        if not peeked:
            raise ConnectionError("the connection ended")
        end = peeked.find(b"\n") + 1 or len(peeked)
        line += sock.recv(end)
        if len(line) > LINE_LIMIT:
            raise ConnectionError("the line is too long")
    message = json.loads(line.decode("utf-8"))
    if not isinstance(message, dict):
        raise ConnectionError("not a message")
    return message
