"""One of the feed's processes: takes parts of batches from a socket, writes them into their slots, says so.

It is forked from the feed when the source is indexed and the rings are mapped. It ends when the feed does, because
then its socket ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from regatta_feed.errors import FeedError
from regatta_feed.pipeline import Pipeline
from regatta_feed.ring import Ring
from regatta_feed.schema import Schema
from regatta_feed.settings import Settings

__all__ = ["Answer", "Answers", "Task", "Worker", "start"]

_TASK: Final = struct.Struct("<QIIIQQIIB7x")
_ANSWER: Final = struct.Struct("<QBIIIQ")


class Task(NamedTuple):
    """A part of a batch to write."""

    number: int
    queue: int
    slot: int
    rank: int
    epoch: int
    step: int
    start: int
    stop: int
    channels_first: bool


class Answer(NamedTuple):
    """What became of a task: it is done, or the feed cannot go on."""

    number: int
    failure: str
    damaged: list[list[Any]]
    """[sample, reason, words] of each sample that this worker found damaged since its last answer."""
    microseconds: int
    """That it took."""
    cpu_microseconds: int
    read_bytes: int
    """From the source."""


class Answers:
    """Answers out of the bytes of a worker's socket."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Answer]:
        """Those that the bytes complete."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _ANSWER.size:
            number, failed, size, *measured = _ANSWER.unpack_from(self._buffer)
            end = _ANSWER.size + size
            if len(self._buffer) < end:
                break
            body = json.loads(self._buffer[_ANSWER.size : end]) if size else []
            del self._buffer[:end]
            found.append(Answer(number, body if failed else "", [] if failed else body, *measured))
        return found


@dataclass(slots=True)
class Worker:
    """The feed's side of a process."""

    pid: int
    socket: socket.socket
    answers: Answers
    tasks: dict[int, Task]
    """Sent and not answered."""

    def send(self, task: Task) -> None:
        """Give it a task; a worker has few at a time, so the socket always has room.

        One that has just died takes it too: its tasks go to others when its death is heard of.
        """
        self.tasks[task.number] = task
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(_TASK.pack(*task))

    def kill(self) -> int:
        """End it, and return its wait status."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return os.waitpid(self.pid, 0)[1]


def start(
    pipeline: Pipeline,
    schema: Schema,
    rings: Sequence[Ring],
    settings: Settings,
    *,
    number: int,
    close: Sequence[socket.socket],
) -> Worker:
    """Fork a worker; no two that live have one number.

    `close` are the feed's sockets: held open by a worker they would hide that the feed has ended.
    """
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        theirs.close()
        return Worker(pid, ours, Answers(), {})
    code = 1
    try:
        for each in (ours, *close):
            each.close()
        for each_signal in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each_signal, signal.SIG_IGN)  # the feed decides; its end is ours
        signal.set_wakeup_fd(-1)
        pipeline.at_work(number, settings)
        _work(theirs, pipeline, schema, rings)
        code = 0
    except BaseException as error:  # a fork must never return into the feed's code
        print(f"regatta-feed: a worker ended: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _work(sock: socket.socket, pipeline: Pipeline, schema: Schema, rings: Sequence[Ring]) -> None:
    schemas = {True: schema.laid_out("NCHW"), False: schema.laid_out("NHWC")}
    views = {
        (queue, slot, first): ring.arrays(slot, schemas[first])
        for queue, ring in enumerate(rings)
        for slot in range(ring.count)
        for first in schemas
    }
    told = set(pipeline.damaged)
    while data := _exactly(sock, _TASK.size):
        task = Task(*_TASK.unpack(data))
        before, cpu_before, read_before = time.monotonic(), time.thread_time(), pipeline.read_bytes
        failure = ""
        try:
            pipeline.fill(
                views[task.queue, task.slot, bool(task.channels_first)],
                schemas[bool(task.channels_first)],
                epoch=task.epoch,
                step=task.step,
                rank=task.rank,
                part=range(task.start, task.stop),
            )
        except (FeedError, OSError, MemoryError) as error:
            failure = str(error) or type(error).__name__
        new = [each for sample, each in pipeline.damaged.items() if sample not in told]
        told.update(each.sample for each in new)
        body: Any = failure or [[each.sample, each.reason, each.words[:500]] for each in new]
        text = json.dumps(body).encode() if body else b""
        took, cpu = (
            min(int(seconds * 1e6), 0xFFFFFFFF)
            for seconds in (time.monotonic() - before, time.thread_time() - cpu_before)
        )
        read = pipeline.read_bytes - read_before
        sock.sendall(_ANSWER.pack(task.number, bool(failure), len(text), took, cpu, read) + text)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            part = sock.recv(size - len(data))
        except ConnectionError:
            return b""
        if not part:
            return b""
        data += part
    return data
