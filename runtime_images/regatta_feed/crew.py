"""The feed's workers: who does which part of which batch, and what becomes of those that die."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from regatta_feed.errors import FeedError, OutOfMemoryError
from regatta_feed.metrics import Counts
from regatta_feed.pipeline import Pipeline
from regatta_feed.queues import Batch
from regatta_feed.ring import Ring
from regatta_feed.schema import Schema
from regatta_feed.settings import Settings
from regatta_feed.worker import Answer, Task, Worker, start
from regatta_runtime import oom

__all__ = ["Crew"]

AHEAD: Final = 2
"""Tasks that a worker has at a time: the next one is there when it has done one."""
DEATHS_OF_A_TASK: Final = 2


class Crew:
    """Workers with their tasks. What is done is told to `done`, what nobody wants any more is left out."""

    def __init__(
        self,
        pipeline: Pipeline,
        schema: Schema,
        rings: Sequence[Ring],
        settings: Settings,
        *,
        selector: selectors.BaseSelector,
        counts: Counts,
        log: Callable[[str], None],
        wanted: Callable[[Task, Batch], bool],
        done: Callable[[Task, Batch, Answer], None],
        sockets: Callable[[], list[socket.socket]],
    ) -> None:
        self._pipeline, self._schema, self._rings, self._settings = pipeline, schema, rings, settings
        self._selector, self._counts, self._log = selector, counts, log
        self._wanted, self._done, self._sockets = wanted, done, sockets
        self._kills = oom.kills()
        self._workers: dict[int, Worker] = {}
        self._numbers: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._todo: deque[tuple[Task, Batch]] = deque()
        self._doing: dict[int, Batch] = {}
        self._deaths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def start(self) -> None:
        """Start all workers."""
        for _ in range(self._settings.processes):
            self._start()

    def add(self, task: Task, batch: Batch) -> None:
        """Something to do, after all else."""
        self._todo.append((task, batch))

    def dispatch(self) -> None:
        """Give tasks to workers that have few, the idlest first."""
        for depth in range(1, AHEAD + 1):
            for worker in self._workers.values():
                if len(worker.tasks) >= depth:
                    continue
                task = self._next()
                if task is None:
                    return
                worker.send(task)

    def lived(self) -> float:
        """Seconds of all workers that live."""
        now = time.monotonic()
        return sum(now - started for started in self._started.values())

    def kill(self) -> None:
        """End all."""
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()

    def _start(self) -> None:
        feeds = [*self._sockets(), *(worker.socket for worker in self._workers.values())]
        number = next(n for n in range(len(self._workers) + 1) if n not in self._numbers.values())
        worker = start(self._pipeline, self._schema, self._rings, self._settings, number=number, close=feeds)
        self._numbers[worker.pid] = number
        self._started[worker.pid] = time.monotonic()
        self._workers[worker.pid] = worker
        self._selector.register(worker.socket, selectors.EVENT_READ, lambda _: self._hear(worker))

    def _next(self) -> Task | None:
        while self._todo:
            task, batch = self._todo.popleft()
            if self._wanted(task, batch):
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
            task = worker.tasks.pop(answer.number)
            if answer.failure:
                raise FeedError(answer.failure)
            self._counts.task_seconds += answer.microseconds / 1e6
            self._counts.cpu_seconds += answer.cpu_microseconds / 1e6
            self._counts.read_bytes += answer.read_bytes
            self._done(task, self._doing.pop(task.number), answer)

    def _bury(self, worker: Worker) -> None:
        """A worker died: another takes its place and its tasks, unless one of them has killed before."""
        self._selector.unregister(worker.socket)
        number = self._numbers.pop(worker.pid)
        del self._workers[worker.pid]
        self._counts.worker_seconds += time.monotonic() - self._started.pop(worker.pid)
        status = worker.kill()
        self._counts.worker_deaths += 1
        self._pipeline.forget(number)
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"
        if how == "signal 9" and oom.kills() > self._kills:
            raise OutOfMemoryError("the memory limit was reached and a worker killed for it; raise the limit")
        first = next(iter(worker.tasks.values()), None)
        if first is not None:  # the one that it was at
            self._deaths[first.number] = self._deaths.get(first.number, 0) + 1
            if self._deaths[first.number] >= DEATHS_OF_A_TASK:
                raise FeedError(self._deadly(first, how))
        self._log(f"a worker died ({how}) and is replaced")
        for task in reversed(worker.tasks.values()):
            self._todo.appendleft((task, self._doing.pop(task.number)))
        self._start()

    def _deadly(self, task: Task, how: str) -> str:
        indices = self._pipeline.order.indices(epoch=task.epoch, step=task.step, rank=task.rank)
        names = [self._pipeline.source.name(int(each)) for each in indices[task.start : task.stop]]
        hint = "; the feed may be short of memory" if how == "signal 9" else ""
        return f"{DEATHS_OF_A_TASK} workers died ({how}) with the same samples{hint}: {', '.join(names)[:2000]}"
