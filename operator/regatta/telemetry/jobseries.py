"""Each job's own metrics, as bytes that are made when the job changes and only joined when somebody scrapes.

With ten thousand jobs a scrape has more than a hundred thousand lines. Rendering them takes a second of the one thread
that all else runs in; joining what is rendered takes a hundredth of it, and is done in another thread.

What is told of all jobs together is kept beside: each job brings its share with it and takes it away again.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from regatta.api.status import Phase
from regatta.plan.ledger import HELD, STATES, UNMEASURED
from regatta.plan.model import Job
from regatta.telemetry.lifecycle import CAUSES, OTHER

__all__ = ["CONTENT_TYPE", "KEPT_SECONDS", "JobSeries"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
KEPT_SECONDS: Final = 15 * 60.0
"""After a job's end: long enough for each Prometheus to have seen its last values."""

FAMILIES: Final = (
    ("regatta_trainingjob_info", "gauge", "What the job is."),
    ("regatta_trainingjob_phase", "gauge", "1 for the phase that the job is in."),
    ("regatta_trainingjob_created_timestamp_seconds", "gauge", "When the job was created."),
    ("regatta_trainingjob_attempt", "gauge", "Number of the current attempt, 0 before the first."),
    ("regatta_trainingjob_pods_desired", "gauge", "Workers that the job asks for."),
    ("regatta_trainingjob_pods_ready", "gauge", "Workers whose training processes have all joined."),
    ("regatta_trainingjob_accelerators", "gauge", "Accelerators that the job asks for, of all workers together."),
    (
        "regatta_trainingjob_accelerator_seconds_total",
        "counter",
        "Time in each state that holds accelerators, times the accelerators.",
    ),
    ("regatta_trainingjob_time_seconds_total", "counter", "The job's ledger: its time in exclusive states."),
    ("regatta_trainingjob_failures_total", "counter", "Failures of the job's attempts, overcome or not."),
)
_HEADS: Final = tuple(f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode() for name, kind, text in FAMILIES)

JobKey = tuple[str, str]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    uid: str
    lines: tuple[bytes, ...]
    """One for each family; empty once nobody needs them any more."""
    kind: tuple[str, str, str]
    resource: tuple[str, str]
    requested: int
    allocated: int


class JobSeries:
    """Lines of all jobs by key, and sums over them. Filled on one thread; joined on any."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._entries: dict[JobKey, _Entry] = {}
        self._ends: list[tuple[float, JobKey, str]] = []
        self._counts: dict[tuple[str, str, str], int] = {}
        self._requested: dict[tuple[str, str], int] = {}
        self._allocated: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, job: Job, *, bound: int) -> None:
        """Take a job as it is now; `bound` of its pods hold a node."""
        key = (job.namespace, job.name)
        known = self._entries.get(key)
        spec, status = job.spec, job.status
        phase = status.phase or Phase.QUEUED
        framework = spec.framework.value if spec is not None else "unknown"
        devices = spec.gpus_per_worker if spec is not None else 0
        wanted = spec.workers * devices if spec is not None else 0
        ended = status.completion_time if phase.terminal else None
        leaves = None if ended is None else ended.timestamp() + KEPT_SECONDS
        gone = leaves is not None and leaves <= self._now()
        entry = _Entry(
            uid=job.uid,
            lines=() if gone else tuple(_lines(job, phase=phase, framework=framework, accelerators=wanted)),
            kind=(job.namespace, framework, phase.value),
            resource=(job.namespace, spec.gpu_resource if spec is not None else ""),
            requested=0 if phase.terminal or phase is Phase.SUSPENDED else wanted,
            allocated=bound * devices,
        )
        self._replace(key, known, entry)
        if leaves is not None and not gone:
            heapq.heappush(self._ends, (leaves, key, job.uid))

    def remove(self, key: JobKey) -> None:
        """The job was deleted: nothing is told of it any more."""
        self._replace(key, self._entries.get(key), None)

    def clear(self) -> None:
        """Tell nothing: another replica leads."""
        for store in (self._entries, self._ends, self._counts, self._requested, self._allocated):
            store.clear()

    @property
    def counts(self) -> Mapping[tuple[str, str, str], int]:
        """Number of jobs by namespace, framework and phase."""
        return self._counts

    @property
    def requested(self) -> Mapping[tuple[str, str], int]:
        """Accelerators that jobs ask for which have not ended, by namespace and resource."""
        return self._requested

    @property
    def allocated(self) -> Mapping[tuple[str, str], int]:
        """Accelerators of pods that hold a node, by namespace and resource."""
        return self._allocated

    def snapshot(self) -> Callable[[], bytes]:
        """A function that joins what is told now; it may run on another thread while jobs change."""
        self._forget_ended()
        lines = [entry.lines for entry in self._entries.values() if entry.lines]
        return lambda: _joined(lines)

    def _forget_ended(self) -> None:
        now = self._now()
        while self._ends and self._ends[0][0] <= now:
            _, key, uid = heapq.heappop(self._ends)
            entry = self._entries.get(key)
            if entry is not None and entry.uid == uid and entry.lines:
                self._entries[key] = _Entry(
                    uid=uid,
                    lines=(),
                    kind=entry.kind,
                    resource=entry.resource,
                    requested=entry.requested,
                    allocated=entry.allocated,
                )

    def _replace(self, key: JobKey, old: _Entry | None, new: _Entry | None) -> None:
        for entry, sign in ((old, -1), (new, 1)):
            if entry is not None:
                _add(self._counts, entry.kind, sign)
                _add(self._requested, entry.resource, sign * entry.requested)
                _add(self._allocated, entry.resource, sign * entry.allocated)
        if new is not None:
            self._entries[key] = new
        else:
            self._entries.pop(key, None)


def _add(sums: dict[K, int], key: K, number: int) -> None:
    """Add to a sum, and leave nothing behind of one that is zero."""
    value = sums.get(key, 0) + number
    if value:
        sums[key] = value
    else:
        sums.pop(key, None)


def _joined(lines: list[tuple[bytes, ...]]) -> bytes:
    """The exposition: all lines of one family together, as the format demands."""
    if not lines:
        return b""
    families = zip(*lines, strict=True)
    return b"".join(part for head, family in zip(_HEADS, families, strict=True) for part in (head, *family))


def _lines(job: Job, *, phase: Phase, framework: str, accelerators: int) -> Iterator[bytes]:
    """What each family says of a job, in the order of `FAMILIES`. Names of objects need no escaping."""
    status, spec = job.status, job.spec
    own = f'namespace="{job.namespace}",trainingjob="{job.name}"'
    names = [name for name, _, _ in FAMILIES]
    priority = spec.scheduling.priority_class_name or "" if spec is not None else ""
    yield f'{names[0]}{{{own},framework="{framework}",queue="",priority_class="{_escaped(priority)}"}} 1\n'.encode()
    yield f'{names[1]}{{{own},phase="{phase.value}"}} 1\n'.encode()
    yield f"{names[2]}{{{own}}} {job.created_at.timestamp():.0f}\n".encode()
    yield f"{names[3]}{{{own}}} {status.attempt}\n".encode()
    yield f"{names[4]}{{{own}}} {spec.workers if spec is not None else 0}\n".encode()
    yield f"{names[5]}{{{own}}} {status.workers.ready}\n".encode()
    resource = _escaped(spec.gpu_resource) if spec is not None else ""
    yield f'{names[6]}{{{own},resource="{resource}"}} {accelerators}\n'.encode() if accelerators else b""
    ledger = status.ledger
    yield b"".join(
        f'{names[7]}{{{own},state="{state}"}} {ledger[state] * accelerators:.3f}\n'.encode()
        for state in HELD
        if accelerators and ledger.get(state)
    )
    yield b"".join(
        f'{names[8]}{{{own},state="{state}"}} {ledger[state]:.3f}\n'.encode()
        for state in (*STATES, UNMEASURED)
        if ledger.get(state)
    )
    failed: dict[str, int] = {}
    for word, number in status.failure_counts.items():
        cause = CAUSES.get(word, OTHER)
        failed[cause] = failed.get(cause, 0) + number
    yield b"".join(f'{names[9]}{{{own},cause="{cause}"}} {number}\n'.encode() for cause, number in failed.items())


def _escaped(value: str) -> str:
    """A label's value: a resource's or a priority class's name is checked elsewhere, and trusted nowhere."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
