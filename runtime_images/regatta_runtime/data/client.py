"""The training process' end of the feed: connects, waits for batches, gives their slots back."""

from __future__ import annotations

import ctypes
import gc
import math
import mmap
import os
import socket
import sys
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from regatta_runtime.data import protocol

CONNECT_SECONDS = 60.0  # a feed that indexes a large data set needs a while; in a job, where others see to it that
WAIT_VARIABLE = "REGATTA_FEED_WAIT"  # it lives, longer. Nothing is waited for silently
RECONNECT_SECONDS = 60.0
SAY_EVERY = 10.0
PAUSE = 0.05
COLLECT_SECONDS = 0.5
FREE_OF_FENCES = 3  # slots that no device copies from when a batch is asked for: it, the last one, one that is written
HELD_SECONDS = 30.0  # a program that prefetches in a thread may well hold all batches for a step


_forks = 0  # how often this process' ancestors have forked to make it; asking for the pid costs a system call


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class FeedError(Exception):
    """The feed cannot give batches; the text says why and what to do."""


class Field(NamedTuple):
    """One array of a batch."""

    name: str
    dtype: str
    shape: List[int]  # without the first dimension
    offset: int  # in its slot


class Batch(NamedTuple):
    """A batch in its slot. The slot is given back when `lease` is gone, and with it all that looks at it."""

    lease: Any
    epoch: int
    step: int
    count: int


# Called when a batch is given up, for memory that a device may still be copying from: what it returns has `query()`,
# true when the device has done what it was told before, and `synchronize()`, which waits for that.
Fence = Callable[[], Any]


class Client:
    """A connection to the feed's queue of this process."""

    def __init__(
        self,
        *,
        folder: str,
        queue: int,
        layout: Optional[str],
        epoch: Optional[int],
        step: Optional[int],
        patient: bool = False,
    ) -> None:
        self.fields: List[Field] = []
        self.facts: Dict[str, Any] = {}
        self._folder, self._queue, self._layout = folder, queue, layout
        self._born = _forks
        self._patient = patient  # whether others than this program's own threads hold batches
        self.fence: Optional[Fence] = None
        self._fenced: List[Tuple[int, mmap.mmap, Any]] = []
        self._turn = 0
        self._held = 0
        self._closing = False
        self._sock: Optional[socket.socket] = None
        self._buffer = b""
        self._connect(epoch, step, float(os.environ.get(WAIT_VARIABLE) or CONNECT_SECONDS), "")

    def next(self) -> Optional[Batch]:
        """The next batch, waited for; None after the last epoch."""
        if _forks != self._born:
            self._check_process()
        if self._closing:
            raise FeedError("this connection to the feed was closed")
        if self._fenced:
            self._pass_fences(most=max(0, self._slots - FREE_OF_FENCES))
        if self._held >= self._slots:
            self._wait_for_room()
        while True:
            kind, slot, turn, epoch, step, count = protocol.unpack_plain(self._receive(protocol.RECORD_SIZE))
            if kind == protocol.BATCH and turn == self._turn:
                return self._lease(slot, turn, epoch, step, count)
            if kind == protocol.ERROR:
                words = self._receive(min(count, protocol.TEXT_LIMIT)).decode("utf-8", "replace")
                raise FeedError(f"the feed gave up: {words}")
            if turn == self._turn and kind == protocol.END:
                return None
            if kind == protocol.BATCH:
                self._send(protocol.Record(protocol.FREE, slot=slot))

    def _wait_for_room(self) -> None:
        """Until a batch is given back: by a cycle of objects that is collected, or by another thread, soon."""
        others = self._patient or threading.active_count() > 1
        began = time.monotonic()
        collect_at = began + (COLLECT_SECONDS if others else 0)  # collecting is slow where much is imported
        deadline = began + (HELD_SECONDS if others else 0)
        while self._held >= self._slots:
            self._pass_fences(most=0)
            now = time.monotonic()
            if now >= collect_at:
                collect_at = math.inf
                gc.collect()
                continue
            if now >= deadline:
                raise FeedError(
                    f"all {self._slots} batches of the feed's memory are still in use, so no further one can come: "
                    "keep copies (tensor.clone(), array.copy()) instead of the batches themselves, or start the feed "
                    "with more slots"
                )
            time.sleep(0.0005)

    def seek(self, epoch: int, step: int) -> None:
        """Go on at another batch; those on their way are given back unseen."""
        self._check_process()
        self._turn += 1
        self._send(protocol.Record(protocol.SEEK, turn=self._turn, epoch=epoch, step=step))

    @property
    def memory(self) -> mmap.mmap:
        """Where the batches lie; another one after the feed was started again."""
        return self._map

    def reconnect(self, epoch: int, step: int) -> None:
        """Find the feed again after it was lost, and go on at a batch."""
        self._connect(epoch, step, RECONNECT_SECONDS, "the feed is gone")

    def close(self) -> None:
        """Leave the feed, but not before the last batch is given back: the queue's next reader gets its memory."""
        self._closing = True
        if _forks == self._born:
            self._pass_fences(most=0)
        if self._held == 0 or _forks != self._born:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __del__(self) -> None:
        if getattr(self, "_sock", None) is not None:
            self._hang_up()

    def _lease(self, slot: int, turn: int, epoch: int, step: int, count: int) -> Batch:
        start = slot * self._slot_bytes
        found = protocol.unpack_header(self._map, start) if slot < self._slots else None
        if found != (turn, epoch, step, count):
            raise FeedError(
                f"slot {slot} does not hold the batch that the feed announced: {found}, not {turn, epoch, step, count}"
            )
        lease = self._type.from_buffer(self._map, start)
        lease.client, lease.home = self, self._homes[slot]
        self._held += 1
        return Batch(lease, epoch, step, count)

    def _pass_fences(self, *, most: int) -> None:
        """Give back what the device has done with; wait for the oldest while more than `most` are left."""
        while self._fenced and (len(self._fenced) > most or self._fenced[0][2].query()):
            slot, ring, fence = self._fenced.pop(0)
            fence.synchronize()
            self._free(slot, ring)

    def _give_back(self, slot: int, ring: mmap.mmap) -> None:
        """Of a lease's end, in whatever thread; a forked child's copy of a lease gives nothing back."""
        if ring is self._map and _forks == self._born and self.fence is not None:
            self._fenced.append((slot, ring, self.fence()))
            if self._closing:  # nobody will ask for another batch
                self._pass_fences(most=0)
            return
        self._free(slot, ring)

    def _free(self, slot: int, ring: mmap.mmap) -> None:
        if ring is not self._map or _forks != self._born:
            return
        self._held -= 1
        sock = self._sock
        if sock is None:
            return
        try:  # noqa: SIM105 - with every batch, and suppress() is a call and an object more
            sock.send(self._free_records[slot])
        except OSError:
            pass  # the feed is gone: the next wait for a batch notices
        if self._closing and self._held == 0:
            self._hang_up()

    def _receive(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:  # usually all that is there is the one record that is wanted
                data = self._sock.recv(1 << 16) if self._sock is not None else b""
            except ConnectionError:
                data = b""
            if not data:
                raise ConnectionError("the feed is gone")
            if not self._buffer and len(data) == size:
                return data
            self._buffer += data
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _send(self, record: protocol.Record) -> None:
        if self._sock is None:
            raise ConnectionError("the feed is gone")
        self._sock.sendall(record.pack())

    def _check_process(self) -> None:
        if _forks != self._born:
            raise FeedError("a forked process cannot read its parent's batches: let it have a queue of its own")

    def _connect(self, epoch: Optional[int], step: Optional[int], seconds: float, before: str) -> None:
        self._hang_up()
        self._check_process()
        began = time.monotonic()
        said = began
        while True:
            try:
                return self._greet(epoch, step)
            except OSError as error:
                problem = str(error) or type(error).__name__
                waited = time.monotonic() - began
                if waited >= seconds:
                    raise FeedError(
                        f"{before + '; ' if before else ''}no feed answers at {self._folder} ({problem}), "
                        f"after {waited:.0f} s; its own log says why"
                    ) from error
                if time.monotonic() - said >= SAY_EVERY:
                    said = time.monotonic()
                    print(f"regatta: waiting for the feed at {self._folder}: {problem}", file=sys.stderr, flush=True)
                time.sleep(PAUSE)

    def _greet(self, epoch: Optional[int], step: Optional[int]) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(os.path.join(self._folder, protocol.SOCKET))
            hello = {
                "version": protocol.VERSION,
                "queue": self._queue,
                "epoch": epoch,
                "step": step,
                "layout": self._layout,
            }
            protocol.send_line(sock, hello)
            facts = protocol.receive_line(sock)
            if "error" in facts:
                raise FeedError(str(facts["error"]))
            if "busy" in facts:
                raise ConnectionError(str(facts["busy"]))
            self._map_ring(facts)
        except BaseException:
            sock.close()
            raise
        self._sock, self._buffer, self._turn, self._held = sock, b"", 0, 0

    def _map_ring(self, facts: Dict[str, Any]) -> None:
        self._slots, self._slot_bytes = int(facts["slots"]), int(facts["slotBytes"])
        name = os.path.basename(str(facts["ring"]))
        descriptor = os.open(os.path.join(self._folder, name), os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            # With its pages at once: else the first look at each costs a fault, thousands of them for a batch.
            flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0x8000 if sys.platform == "linux" else 0)
            self._map = mmap.mmap(descriptor, self._slots * self._slot_bytes, flags)
        finally:
            os.close(descriptor)
        fields = [Field(f["name"], f["dtype"], list(f["shape"]), int(f["offset"])) for f in facts["fields"]]
        if self.fields and fields != self.fields:
            raise FeedError("the feed was started again with another pipeline; start the program again, too")
        self.fields, self.facts = fields, facts
        self._free_records = [protocol.Record(protocol.FREE, slot=slot).pack() for slot in range(self._slots)]
        self._homes = [(slot, self._map) for slot in range(self._slots)]
        self._type = type(
            "Lease", (ctypes.c_ubyte * self._slot_bytes,), {"__slots__": ("client", "home"), "__del__": _end_of_lease}
        )


def _end_of_lease(lease: Any) -> None:
    client = getattr(lease, "client", None)
    if client is not None:
        client._give_back(*lease.home)
