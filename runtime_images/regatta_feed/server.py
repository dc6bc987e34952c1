"""The feed's main process: hands parts of batches to workers, and finished batches to training processes.

One loop over sockets; it sleeps until one of them has something to say. All that is decided about a training
process's batches is in `queues`; `crew` speaks with the workers, `readers` with the training processes.
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
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from regatta_feed.crew import Crew
from regatta_feed.damage import Damage, DamageBook
from regatta_feed.errors import FeedError
from regatta_feed.memory import keep_freed_memory
from regatta_feed.metrics import Counts, exposition, http_answer
from regatta_feed.pipeline import Pipeline
from regatta_feed.queues import Batch, Queue
from regatta_feed.readers import Readers
from regatta_feed.ring import Ring, slots_of
from regatta_feed.schema import Schema
from regatta_feed.settings import Settings
from regatta_feed.worker import Answer, Task

__all__ = ["Server", "Settings"]

SCRAPE_SECONDS: Final = 0.2


class Server:
    """A running feed."""

    def __init__(
        self, pipeline: Pipeline, schema: Schema, settings: Settings, *, log: Callable[[str], None] | None = None
    ) -> None:
        self.counts = Counts()
        self._pipeline, self._settings = pipeline, settings
        log = log or (lambda words: print(f"regatta-feed: {words}", file=sys.stderr, flush=True))
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
        self._next_task = 0
        self._stop = False
        self._selector = selectors.DefaultSelector()
        self._metrics: socket.socket | None = None
        self._wake = socket.socketpair()
        self._damage = DamageBook(
            samples=len(pipeline.source), fail=settings.fail_on_damage, log=log, errors=self.counts.errors
        )
        self._readers = Readers(
            pipeline,
            schema,
            self._queues,
            self._rings,
            settings,
            selector=self._selector,
            log=log,
            handed_over=self._handed_over,
        )
        self._crew = Crew(
            pipeline,
            schema,
            self._rings,
            settings,
            selector=self._selector,
            counts=self.counts,
            log=log,
            wanted=self._wanted,
            done=self._done,
            sockets=self._sockets,
        )

    @property
    def damaged(self) -> dict[int, Damage]:
        """What was found damaged."""
        return self._damage.found

    def run(self) -> None:
        """Serve until every training process has had its last batch, or `stop`; raises FeedError where it cannot."""
        keep_freed_memory()
        try:
            self._open()
            while not self._stop and not self._all_done():
                self._begin()
                self._crew.dispatch()
                for key, _ in self._selector.select():
                    key.data(key.fileobj)
        except FeedError as error:
            self._readers.tell_all(str(error))
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
        self._crew.kill()
        self._readers.close()
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
        for sock in (self._metrics, *self._wake):
            if sock is not None:
                sock.close()
        self._selector.close()
        for ring in self._rings:
            ring.remove()

    def _open(self) -> None:
        self._damage.notice(self._pipeline.source.notices)
        self._damage.note(self._pipeline.damaged.values())
        self._readers.listen()
        read, write = self._wake
        for end in self._wake:
            end.setblocking(False)
        self._selector.register(read, selectors.EVENT_READ, lambda sock: sock.recv(4096))
        with contextlib.suppress(ValueError):  # only the main thread hears signals
            signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        if self._settings.metrics_port is not None:
            self._listen_for_prometheus(self._settings.metrics_port)
        self._crew.start()

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
        counts = replace(self.counts, worker_seconds=self.counts.worker_seconds + self._crew.lived())
        queued = sum(batch.missing == 0 for queue in self._queues for batch in queue.writing)
        capacity = self._settings.slots * len(self._queues)
        return exposition(counts, queued=queued, capacity=capacity, workers=len(self._crew))

    def _all_done(self) -> bool:
        if self._settings.stay or self._settings.epochs is None:
            return False
        if self._settings.sink:
            return all(queue.exhausted and not queue.writing for queue in self._queues)
        return len(self._readers.finished) == len(self._queues)

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
                        self._readers.layouts[number] == "NCHW",
                    )
                    self._crew.add(task, batch)

    def _wanted(self, task: Task, batch: Batch) -> bool:
        queue = self._queues[task.queue]
        if batch.turn == queue.turn:
            return True
        queue.written(batch)  # nobody wants it any more
        return False

    def _done(self, task: Task, batch: Batch, answer: Answer) -> None:
        if answer.damaged:
            self._damage.note(answer.damaged)
        self._queues[task.queue].written(batch)
        if batch.missing == 0:
            self.counts.batch_took(time.monotonic() - batch.began)
        self._readers.deliver(task.queue)

    def _handed_over(self, samples: int) -> None:
        self.counts.batches += 1
        self.counts.samples += samples
        self.counts.written_bytes += samples * self._sample_bytes

    def _sockets(self) -> list[socket.socket]:
        return [*self._readers.sockets(), *([self._metrics] if self._metrics is not None else [])]
