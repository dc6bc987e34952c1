"""The training processes at their sockets: who reads which queue, what it is told, and what it gives back."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from regatta_feed.errors import FeedError
from regatta_feed.pipeline import Pipeline
from regatta_feed.queues import Queue
from regatta_feed.ring import Ring
from regatta_feed.schema import Schema
from regatta_feed.settings import Settings
from regatta_runtime.data import protocol

__all__ = ["Readers"]

HELLO_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Reader:
    sock: socket.socket
    queue: int
    turn: int
    """As the training process counts, of the batches that it wants."""
    buffer: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Readers:
    """All training processes of this machine, one for each queue."""

    def __init__(
        self,
        pipeline: Pipeline,
        schema: Schema,
        queues: Sequence[Queue],
        rings: Sequence[Ring],
        settings: Settings,
        *,
        selector: selectors.BaseSelector,
        log: Callable[[str], None],
        handed_over: Callable[[int], None],
    ) -> None:
        self.finished: set[int] = set()
        """Queues whose process has had its last batch and left."""
        self.layouts = [schema.layout] * len(queues)
        self._pipeline, self._schema, self._queues, self._rings = pipeline, schema, queues, rings
        self._settings, self._selector, self._log, self._handed_over = settings, selector, log, handed_over
        self._readers: dict[int, _Reader] = {}
        self._address = settings.folder / protocol.SOCKET
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def listen(self) -> None:
        """Let training processes come."""
        with contextlib.suppress(FileNotFoundError):
            self._address.unlink()  # of a feed that was killed; a living one has a folder of its own
        self._listener.bind(os.fspath(self._address))
        self._address.chmod(0o666)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def sockets(self) -> list[socket.socket]:
        """All that are open."""
        return [self._listener, *(reader.sock for reader in self._readers.values())]

    def close(self) -> None:
        """Leave them."""
        for sock in self.sockets():
            sock.close()
        self._readers.clear()
        self._address.unlink(missing_ok=True)

    def deliver(self, number: int) -> None:
        """Hand over what is whole and whose turn it is."""
        queue, reader = self._queues[number], self._readers.get(number)
        if reader is None and not self._settings.sink:
            return
        for batch in queue.deliver():
            self._handed_over(batch.count)
            if reader is None:
                queue.release(batch.slot)
                continue
            self._rings[number].label(
                batch.slot, turn=reader.turn, epoch=batch.epoch, step=batch.step, count=batch.count
            )
            record = protocol.Record(protocol.BATCH, batch.slot, reader.turn, batch.epoch, batch.step, batch.count)
            self._send(reader, record.pack())
        if reader is not None and not reader.ended and queue.exhausted and not queue.writing:
            reader.ended = True
            self._send(reader, protocol.Record(protocol.END, turn=reader.turn).pack())

    def tell_all(self, words: str) -> None:
        """Say why there will be no more batches."""
        text = words.encode("utf-8")[: protocol.TEXT_LIMIT]
        for reader in self._readers.values():
            self._send(reader, protocol.Record(protocol.ERROR, count=len(text)).pack() + text)

    def _send(self, reader: _Reader, data: bytes) -> None:
        # A few dozen bytes for each slot and no more than that on their way: the socket's buffer always has room.
        with contextlib.suppress(OSError):  # it is gone, which its own event says in a moment
            reader.sock.send(data)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        sock.settimeout(HELLO_SECONDS)  # it speaks at once, or is none of ours
        try:
            self._greet(sock)
        except (OSError, ValueError) as error:
            self._log(f"a connection was refused: {error}")
            sock.close()

    def _greet(self, sock: socket.socket) -> None:
        hello = protocol.receive_line(sock)
        problem = self._problem(hello)
        if problem:
            protocol.send_line(sock, {"error": problem})
            raise ValueError(problem)
        number = hello["queue"]
        old = self._readers.get(number)
        if old is not None:
            self._ready(old)  # it may be gone without our having looked
        if number in self._readers:
            protocol.send_line(sock, {"busy": f"another process reads queue {number}"})
            sock.close()
            return
        queue = self._queues[number]
        schema = self._schema.laid_out(hello.get("layout"))
        epoch, step = hello.get("epoch"), hello.get("step")
        position = (epoch or 0, step or 0)
        moved = position != (0, 0) or not queue.fresh
        if moved or schema.layout != self.layouts[number]:
            self.layouts[number] = schema.layout
            queue.seek(epoch=position[0], step=position[1])
        protocol.send_line(sock, self._welcome(number, schema, position))
        sock.setblocking(False)
        reader = self._readers[number] = _Reader(sock, number, turn=0)
        self.finished.discard(number)
        self._selector.register(sock, selectors.EVENT_READ, lambda _: self._ready(reader))
        self.deliver(number)

    def _problem(self, hello: dict[str, Any]) -> str:
        if hello.get("version") != protocol.VERSION:
            return f"the training process speaks version {hello.get('version')}, the feed {protocol.VERSION}"
        queue = hello.get("queue")
        if not isinstance(queue, int) or not 0 <= queue < len(self._queues):
            return f"there is no queue {queue}; this feed was started for {len(self._queues)} training processes"
        for name in ("epoch", "step"):
            value = hello.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                return f"{name} must be a whole number from 0 on"
        if (hello.get("step") or 0) >= self._pipeline.order.steps:
            return f"step {hello['step']} is outside an epoch of {self._pipeline.order.steps} steps"
        return ""

    def _welcome(self, number: int, schema: Schema, position: tuple[int, int]) -> dict[str, Any]:
        ring, order = self._rings[number], self._pipeline.order
        return {
            "version": protocol.VERSION,
            "ring": ring.path.name,
            "slots": ring.count,
            "slotBytes": ring.slots.size,
            "fields": [
                {"name": each.name, "dtype": each.dtype, "shape": list(each.shape), "offset": offset}
                for each, offset in zip(schema.fields, ring.slots.offsets, strict=True)
            ],
            "layout": schema.layout,
            "batchSize": order.batch,
            "largest": order.largest,
            "steps": order.steps,
            "epochs": self._settings.epochs,
            "epoch": position[0],
            "step": position[1],
            "rank": self._queues[number].rank,
            "world": order.world,
            "samples": order.samples,
            "classes": list(self._pipeline.source.classes)[:10_000],
            "digest": self._pipeline.source.digest,
        }

    def _ready(self, reader: _Reader) -> None:
        if self._readers.get(reader.queue) is not reader:
            return  # it was found gone while this event waited for its turn
        try:
            data = reader.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._gone(reader)
            return
        reader.buffer += data
        queue = self._queues[reader.queue]
        while len(reader.buffer) >= protocol.RECORD_SIZE:
            record = protocol.unpack(bytes(reader.buffer[: protocol.RECORD_SIZE]))
            del reader.buffer[: protocol.RECORD_SIZE]
            if record.kind == protocol.FREE and queue.release(record.slot):
                continue
            if record.kind == protocol.SEEK and record.step < queue.order.steps:
                reader.turn, reader.ended = record.turn, False
                queue.seek(epoch=record.epoch, step=record.step)
                self.deliver(reader.queue)
                continue
            # It lives and may look at what it was given, so its slots cannot be used again.
            raise FeedError(f"the process of queue {reader.queue} does not keep to the feed's protocol")

    def _gone(self, reader: _Reader) -> None:
        self._selector.unregister(reader.sock)
        reader.sock.close()
        del self._readers[reader.queue]
        queue = self._queues[reader.queue]
        queue.lost()
        if reader.ended:
            self.finished.add(reader.queue)
        else:
            self._log(f"the process of queue {reader.queue} is gone; the feed waits for the next one")
            queue.seek(epoch=queue.epoch, step=queue.step)
