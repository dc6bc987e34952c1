"""The feed's main process: hands parts of batches to workers, and finished batches to training processes.

One loop over sockets; it sleeps until one of them has something to say. All that is decided about a training
process's batches is in `queues`.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from regatta_feed.errors import FeedError, OutOfMemoryError
from regatta_feed.memory import keep_freed_memory
from regatta_feed.metrics import Counts, exposition, http_answer
from regatta_feed.pipeline import Damage, Pipeline, Schema
from regatta_feed.queues import Batch, Queue
from regatta_feed.ring import Ring, slots_of
from regatta_feed.worker import Answer, Task, Worker, start
from regatta_runtime import oom
from regatta_runtime.data import protocol

__all__ = ["Server", "Settings"]

AHEAD = 2
"""Tasks that a worker has at a time: the next one is there when it has done one."""
DEATHS_OF_A_TASK = 2
NAMED_LIMIT = 20
"""Damaged samples that are named in the log."""
HELLO_SECONDS = 1.0
SCRAPE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a feed runs, beside what its pipeline says."""

    folder: Path
    queues: int = 1
    """Training processes of this machine."""
    first_rank: int = 0
    processes: int = 1
    slots: int = 4
    part: int = 16
    epochs: int | None = None
    fail_on_damage: bool = False
    stay: bool = False
    """Whether to go on when all training processes have read their last batch."""
    metrics_port: int | None = None
    sink: bool = False
    """Whether the feed takes the batches itself, to be measured."""


@dataclass(slots=True)
class _Consumer:
    sock: socket.socket
    queue: int
    turn: int
    """As the training process counts, of the batches that it wants."""
    buffer: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Server:
    """A running feed."""

    def __init__(
        self, pipeline: Pipeline, schema: Schema, settings: Settings, *, log: Callable[[str], None] | None = None
    ) -> None:
        self.counts = Counts()
        self.damaged: dict[int, Damage] = {}
        self._pipeline, self._schema, self._settings = pipeline, schema, settings
        self._log = log or (lambda words: print(f"regatta-feed: {words}", file=sys.stderr, flush=True))
        order = pipeline.order
        self._sample_bytes = sum(math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in schema.fields)
        slots = slots_of(schema, order.largest)
        for left in settings.folder.glob("queue-*.ring"):
            left.unlink()  # of a feed that was killed: whoever still reads it has it mapped, and keeps it
        self._rings: list[Ring] = []
        self._queues: list[Queue] = []
        for number in range(settings.queues):
            path = settings.folder / f"queue-{number}-{os.getpid()}.ring"
            self._rings.append(Ring(path, slots=slots, count=settings.slots, batch=order.largest))
            self._queues.append(
                Queue(order, settings.first_rank + number, settings.epochs, slots=settings.slots, part=settings.part)
            )
        self._layouts = [schema.layout] * settings.queues
        self._consumers: dict[int, _Consumer] = {}
        self._finished: set[int] = set()
        self._workers: dict[int, Worker] = {}
        self._numbers: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._todo: deque[tuple[Task, Batch]] = deque()
        self._doing: dict[int, Batch] = {}
        self._deaths: dict[int, int] = {}
        self._next_task = 0
        self._stop = False
        self._selector = selectors.DefaultSelector()
        self._address = settings.folder / protocol.SOCKET
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._metrics: socket.socket | None = None
        self._wake = socket.socketpair()
        self._kills = oom.kills()
        self._limit = -(-len(pipeline.source) // 100)

    # Life

    def run(self) -> None:
        """Serve until every training process has had its last batch, or `stop`; raises FeedError where it cannot."""
        keep_freed_memory()
        try:
            self._open()
            while not self._stop and not self._all_done():
                self._begin()
                self._dispatch()
                for key, _ in self._selector.select():
                    key.data(key.fileobj)
        except FeedError as error:
            self._tell_all(str(error))
            raise
        finally:
            self.close()

    def stop(self) -> None:
        """End `run` soon; may be called by a signal's handler, whose wake-up descriptor `run` watches."""
        self._stop = True
        with contextlib.suppress(OSError):
            self._wake[1].send(b"\0")

    def close(self) -> None:
        """End the workers and take the files away."""
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()
        for consumer in self._consumers.values():
            consumer.sock.close()
        self._consumers.clear()
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
        for sock in (self._listener, self._metrics, *self._wake):
            if sock is not None:
                sock.close()
        self._selector.close()
        self._address.unlink(missing_ok=True)
        for ring in self._rings:
            ring.remove()

    def _open(self) -> None:
        for notice in self._pipeline.source.notices[:NAMED_LIMIT]:
            self._log(f"{notice.where}: {notice.words}")
        if self._pipeline.source.notices and self._settings.fail_on_damage:
            raise FeedError(f"the data is damaged, and onError is Fail: {self._pipeline.source.notices[0].words}")
        found = self._pipeline.damaged.values()
        self._note_damage([[each.sample, each.reason, each.words] for each in found])
        with contextlib.suppress(FileNotFoundError):
            self._address.unlink()  # of a feed that was killed; a living one has a folder of its own
        self._listener.bind(os.fspath(self._address))
        self._address.chmod(0o666)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        read, write = self._wake
        for end in self._wake:
            end.setblocking(False)
        self._selector.register(read, selectors.EVENT_READ, lambda sock: sock.recv(4096))
        with contextlib.suppress(ValueError):  # only the main thread hears signals
            signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        if self._settings.metrics_port is not None:
            self._listen_for_prometheus(self._settings.metrics_port)
        for _ in range(self._settings.processes):
            self._start_worker()

    def _listen_for_prometheus(self, port: int) -> None:
        try:
            self._metrics = socket.create_server(("", port))
        except OSError as error:
            raise FeedError(f"port {port} for the metrics: {error.strerror}") from error
        self._metrics.setblocking(False)
        self._selector.register(self._metrics, selectors.EVENT_READ, self._answer_prometheus)

    def _answer_prometheus(self, listener: socket.socket) -> None:
        """One question, one answer; whoever is slower than a loopback or a cluster's network gets none."""
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(SCRAPE_SECONDS)
                request = sock.recv(4096)
                sock.sendall(http_answer(request, self.metrics()))

    def metrics(self) -> str:
        """The numbers as Prometheus reads them."""
        now = time.monotonic()
        living = sum(now - started for started in self._started.values())
        counts = replace(self.counts, worker_seconds=self.counts.worker_seconds + living)
        queued = sum(batch.missing == 0 for queue in self._queues for batch in queue.writing)
        capacity = self._settings.slots * len(self._queues)
        return exposition(counts, queued=queued, capacity=capacity, workers=len(self._workers))

    def _all_done(self) -> bool:
        if self._settings.stay or self._settings.epochs is None:
            return False
        if self._settings.sink:
            return all(queue.exhausted and not queue.writing for queue in self._queues)
        return len(self._finished) == len(self._queues)

    # Workers

    def _start_worker(self) -> None:
        feeds = [self._listener, *(worker.socket for worker in self._workers.values())]
        feeds += [self._metrics] if self._metrics is not None else []
        feeds += [consumer.sock for consumer in self._consumers.values()]
        number = next(n for n in range(len(self._workers) + 1) if n not in self._numbers.values())
        worker = start(self._pipeline, self._schema, self._rings, number=number, close=feeds)
        self._numbers[worker.pid] = number
        self._started[worker.pid] = time.monotonic()
        self._workers[worker.pid] = worker
        self._selector.register(worker.socket, selectors.EVENT_READ, lambda _: self._hear(worker))

    def _begin(self) -> None:
        """Give slots to batches, one of each queue by turns, so that none starves beside another."""
        begun = True
        while begun:
            begun = False
            for number, queue in enumerate(self._queues):
                batch = queue.begin()
                if batch is None:
                    continue
                begun = True
                batch.began = time.monotonic()
                for part in queue.parts(batch):
                    self._next_task += 1
                    task = Task(
                        self._next_task,
                        number,
                        batch.slot,
                        queue.rank,
                        batch.epoch,
                        batch.step,
                        part.start,
                        part.stop,
                        self._layouts[number] == "NCHW",
                    )
                    self._todo.append((task, batch))

    def _dispatch(self) -> None:
        for depth in range(1, AHEAD + 1):
            for worker in self._workers.values():
                if len(worker.tasks) >= depth:
                    continue
                task = self._next()
                if task is None:
                    return
                worker.send(task)

    def _next(self) -> Task | None:
        while self._todo:
            task, batch = self._todo.popleft()
            queue = self._queues[task.queue]
            if batch.turn != queue.turn:
                queue.written(batch)  # nobody wants it any more
                continue
            self._doing[task.number] = batch
            return task
        return None

    def _hear(self, worker: Worker) -> None:
        if self._workers.get(worker.pid) is not worker:
            return
        try:
            data = worker.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self._bury(worker)
            return
        for answer in worker.answers.feed(data):
            self._take(worker.tasks.pop(answer.number), answer)

    def _take(self, task: Task, answer: Answer) -> None:
        if answer.failure:
            raise FeedError(answer.failure)
        self.counts.task_seconds += answer.microseconds / 1e6
        self.counts.cpu_seconds += answer.cpu_microseconds / 1e6
        self.counts.read_bytes += answer.read_bytes
        if answer.damaged:
            self._note_damage(answer.damaged)
        batch = self._doing.pop(task.number)
        queue = self._queues[task.queue]
        queue.written(batch)
        if batch.missing == 0:
            self.counts.batch_took(time.monotonic() - batch.began)
        self._deliver(task.queue)

    def _bury(self, worker: Worker) -> None:
        """A worker died: another takes its place and its tasks, unless one of them has killed before."""
        self._selector.unregister(worker.socket)
        del self._workers[worker.pid], self._numbers[worker.pid]
        self.counts.worker_seconds += time.monotonic() - self._started.pop(worker.pid)
        status = worker.kill()
        self.counts.worker_deaths += 1
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"
        if how == "signal 9" and oom.kills() > self._kills:
            raise OutOfMemoryError("the memory limit was reached and a worker killed for it; raise the limit")
        first = next(iter(worker.tasks.values()), None)
        if first is not None:  # the one that it was at
            self._deaths[first.number] = self._deaths.get(first.number, 0) + 1
            if self._deaths[first.number] >= DEATHS_OF_A_TASK:
                indices = self._pipeline.order.indices(epoch=first.epoch, step=first.step, rank=first.rank)
                names = [self._pipeline.source.name(int(each)) for each in indices[first.start : first.stop]]
                hint = "; the feed may be short of memory" if how == "signal 9" else ""
                raise FeedError(
                    f"{DEATHS_OF_A_TASK} workers died ({how}) with the same samples{hint}: {', '.join(names)[:2000]}"
                )
        self._log(f"a worker died ({how}) and is replaced")
        for task in reversed(worker.tasks.values()):
            self._todo.appendleft((task, self._doing.pop(task.number)))
        self._start_worker()

    def _note_damage(self, damaged: Sequence[Sequence[Any]]) -> None:
        for sample, reason, words in damaged:
            if sample in self.damaged:
                continue
            self.damaged[sample] = Damage(sample, reason, words)
            self.counts.errors[reason] += 1
            number = len(self.damaged)
            if number <= NAMED_LIMIT:
                last = "; further ones are counted, not named" if number == NAMED_LIMIT else ""
                self._log(f"damaged sample ({reason}): {words}{last}")
        self._check_damage()

    def _check_damage(self) -> None:
        found = len(self.damaged)
        if found and self._settings.fail_on_damage:
            raise FeedError(f"a sample is damaged, and onError is Fail: {next(iter(self.damaged.values())).words}")
        if found > self._limit:
            raise FeedError(
                f"{found} of {len(self._pipeline.source)} samples are damaged, more than one in a hundred; "
                f"the last: {list(self.damaged.values())[-1].words}"
            )

    # Training processes

    def _deliver(self, number: int) -> None:
        queue, consumer = self._queues[number], self._consumers.get(number)
        if consumer is None and not self._settings.sink:
            return
        for batch in queue.deliver():
            self.counts.batches += 1
            self.counts.samples += batch.count
            self.counts.written_bytes += batch.count * self._sample_bytes
            if consumer is None:
                queue.release(batch.slot)
                continue
            self._rings[number].label(
                batch.slot, turn=consumer.turn, epoch=batch.epoch, step=batch.step, count=batch.count
            )
            record = protocol.Record(protocol.BATCH, batch.slot, consumer.turn, batch.epoch, batch.step, batch.count)
            self._send(consumer, record.pack())
        if consumer is not None and not consumer.ended and queue.exhausted and not queue.writing:
            consumer.ended = True
            self._send(consumer, protocol.Record(protocol.END, turn=consumer.turn).pack())

    def _send(self, consumer: _Consumer, data: bytes) -> None:
        # A few dozen bytes for each slot and no more than that on their way: the socket's buffer always has room.
        with contextlib.suppress(OSError):  # it is gone, which its own event says in a moment
            consumer.sock.send(data)

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
        old = self._consumers.get(number)
        if old is not None:
            self._ready(old)  # it may be gone without our having looked
        if number in self._consumers:
            protocol.send_line(sock, {"busy": f"another process reads queue {number}"})
            sock.close()
            return
        queue = self._queues[number]
        schema = self._schema.laid_out(hello.get("layout"))
        epoch, step = hello.get("epoch"), hello.get("step")
        position = (epoch or 0, step or 0)
        moved = position != (0, 0) or not queue.fresh
        if moved or schema.layout != self._layouts[number]:
            self._layouts[number] = schema.layout
            queue.seek(epoch=position[0], step=position[1])
        protocol.send_line(sock, self._welcome(number, schema, position))
        sock.setblocking(False)
        consumer = self._consumers[number] = _Consumer(sock, number, turn=0)
        self._finished.discard(number)
        self._selector.register(sock, selectors.EVENT_READ, lambda _: self._ready(consumer))
        self._deliver(number)

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

    def _ready(self, consumer: _Consumer) -> None:
        if self._consumers.get(consumer.queue) is not consumer:
            return  # it was found gone while this event waited for its turn
        try:
            data = consumer.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._gone(consumer)
            return
        consumer.buffer += data
        queue = self._queues[consumer.queue]
        while len(consumer.buffer) >= protocol.RECORD_SIZE:
            record = protocol.unpack(bytes(consumer.buffer[: protocol.RECORD_SIZE]))
            del consumer.buffer[: protocol.RECORD_SIZE]
            if record.kind == protocol.FREE and queue.release(record.slot):
                continue
            if record.kind == protocol.SEEK and record.step < queue.order.steps:
                consumer.turn, consumer.ended = record.turn, False
                queue.seek(epoch=record.epoch, step=record.step)
                self._deliver(consumer.queue)
                continue
            # It lives and may look at what it was given, so its slots cannot be used again.
            raise FeedError(f"the process of queue {consumer.queue} does not keep to the feed's protocol")

    def _gone(self, consumer: _Consumer) -> None:
        self._selector.unregister(consumer.sock)
        consumer.sock.close()
        del self._consumers[consumer.queue]
        queue = self._queues[consumer.queue]
        queue.lost()
        if consumer.ended:
            self._finished.add(consumer.queue)
        else:
            self._log(f"the process of queue {consumer.queue} is gone; the feed waits for the next one")
            queue.seek(epoch=queue.epoch, step=queue.step)

    def _tell_all(self, words: str) -> None:
        text = words.encode("utf-8")[: protocol.TEXT_LIMIT]
        for consumer in self._consumers.values():
            self._send(consumer, protocol.Record(protocol.ERROR, count=len(text)).pack() + text)
