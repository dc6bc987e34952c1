"""`regatta logs NAME`: the logs of all workers as one, each line under its worker's index."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from rich.console import Console
from rich.text import Text

from regatta.api.status import TrainingJobStatus
from regatta.cli.cluster import Change
from regatta.cli.errors import ClusterError
from regatta.cli.logstream import Line, LogSource, Worker, legible, stream, worker_of
from regatta.errors import RegattaError

__all__ = ["MOST_FOLLOWED", "LogPrinter", "follow_logs", "latest_workers", "print_logs"]

MOST_FOLLOWED: Final = 128
"""A followed worker holds a connection and a thread."""
_MOST_MERGED: Final = 32
_COLOURS: Final = ("cyan", "yellow", "green", "magenta", "blue", "red", "bright_cyan", "bright_yellow", "bright_green")


class FollowedCluster(LogSource, Protocol):
    """What following needs of a cluster."""

    def watch_job(self, name: str) -> Iterator[Change]:
        """The job and its changes."""

    def watch_pods(self, job: str) -> Iterator[Change]:
        """The job's pods and their changes."""

    def pods(self, job: str) -> list[dict[str, Any]]:
        """The job's pods now."""


@dataclass(slots=True)
class LogPrinter:
    """Prints lines whole, whoever prints them; a worker's prefix has its own colour on a terminal."""

    console: Console
    width: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def line(self, worker: Worker, line: Line) -> None:
        """Print one line of a worker's log."""
        prefix = f"{worker.index:>{self.width}}| "
        text = Text().append(prefix, style=_COLOURS[worker.index % len(_COLOURS)])
        self._print(text.append(legible(line.text)))

    def note(self, words: str) -> None:
        """Print a line of our own."""
        self._print(Text(words, style="dim"))

    def _print(self, text: Text) -> None:
        with self._lock:
            self.console.print(text, soft_wrap=True)


def latest_workers(pods: Iterable[Mapping[str, Any]], *, index: int | None) -> list[Worker]:
    """The workers of the newest attempt that has pods, in their order; only one of them where an index is given."""
    workers = [worker_of(pod) for pod in pods]
    newest = max((worker.attempt for worker in workers), default=0)
    return sorted(worker for worker in workers if worker.attempt == newest and index in (None, worker.index))


def print_logs(source: LogSource, workers: Sequence[Worker], *, tail: int | None, printer: LogPrinter) -> None:
    """Print what the workers have written so far: by time for a crew that can be merged, else one after another."""

    def lines(worker: Worker) -> Iterator[tuple[str, Worker, Line]]:
        try:
            for line in stream(source, worker, follow=False, tail=tail):
                yield line.stamp, worker, line
        except ClusterError as error:
            # A node that does not answer must not hide what the others say.
            printer.note(f"worker {worker.index}: {error}")

    written = [lines(worker) for worker in workers if worker.has_log]
    merged = (
        heapq.merge(*written, key=lambda entry: entry[0])
        if len(written) <= _MOST_MERGED
        else itertools.chain.from_iterable(written)
    )
    for _, worker, line in merged:
        printer.line(worker, line)


def follow_logs(
    cluster: FollowedCluster, job: str, *, index: int | None, tail: int | None, printer: LogPrinter
) -> None:
    """Print what the workers write until the job has ended, over all attempts; waits for pods that do not exist yet."""
    followed = _Followed(cluster, index=index, tail=tail, printer=printer)
    changes: queue.Queue[tuple[str, Change | RegattaError]] = queue.Queue()

    def watch(kind: str, source: Callable[[str], Iterator[Change]]) -> None:
        try:
            for change in source(job):
                changes.put((kind, change))
        except RegattaError as error:
            changes.put((kind, error))

    for arguments in (("job", cluster.watch_job), ("pod", cluster.watch_pods)):
        threading.Thread(target=watch, args=arguments, daemon=True).start()
    while True:
        kind, change = changes.get()
        if isinstance(change, RegattaError):
            raise change
        if kind == "pod":
            followed.take(change.object, deleted=change.deleted)
            continue
        phase = TrainingJobStatus.from_api(change.object.get("status")).phase
        if change.deleted or (phase is not None and phase.terminal):
            break
    # A short job may have ended before its pods were seen, and what runs still is deleted now: no more waiting for it.
    for pod in cluster.pods(job):
        followed.take(pod)
    followed.finish()


class _Followed:
    """The workers being followed, one thread each."""

    def __init__(self, source: LogSource, *, index: int | None, tail: int | None, printer: LogPrinter) -> None:
        self._source, self._index, self._tail, self._printer = source, index, tail, printer
        self._threads: dict[str, threading.Thread] = {}
        self._passed_over: set[str] = set()
        self._ended: set[str] = set()
        self._finishing = False
        self._attempt = 0

    def take(self, pod: Mapping[str, Any], *, deleted: bool = False) -> None:
        """Follow the pod if it is new and has something to say."""
        worker = worker_of(pod)
        if worker.ended or deleted:
            self._ended.add(worker.uid)
        if deleted or not worker.has_log or self._index not in (None, worker.index):
            return
        if worker.uid in self._threads or worker.uid in self._passed_over:
            return
        if len(self._threads.keys() - self._ended) >= MOST_FOLLOWED:
            self._passed_over.add(worker.uid)
            self._printer.note(
                f"worker {worker.index}: not followed, because {MOST_FOLLOWED} are; --worker {worker.index} shows it"
            )
            return
        if self._attempt and worker.attempt > self._attempt:
            self._printer.note(f"--- attempt {worker.attempt} ---")
        self._attempt = max(self._attempt, worker.attempt)
        thread = threading.Thread(target=self._copy, args=(worker,), daemon=True)
        self._threads[worker.uid] = thread
        thread.start()

    def finish(self) -> None:
        """Return when everything that the followed workers wrote is printed."""
        self._finishing = True
        for thread in self._threads.values():
            thread.join()

    def _copy(self, worker: Worker) -> None:
        try:
            for line in stream(self._source, worker, follow=True, tail=self._tail, has_ended=self._has_ended):
                self._printer.line(worker, line)
        except RegattaError as error:
            self._printer.note(f"worker {worker.index}: {error}")

    def _has_ended(self, worker: Worker) -> bool:
        return self._finishing or worker.ended or worker.uid in self._ended
