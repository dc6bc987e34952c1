"""The feed's numbers in Prometheus' text format, made when they are asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["BUCKETS", "Counts", "exposition", "http_answer"]

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds that a batch takes from the moment that it has a slot."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Counts:
    """What a feed has done."""

    samples: int = 0
    batches: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Damaged samples by reason, each counted once."""
    cpu_seconds: float = 0.0
    """Of all workers together, at work on a task."""
    task_seconds: float = 0.0
    """The same by the clock: what is more than CPU time was spent waiting for storage, or for a CPU."""
    worker_seconds: float = 0.0
    """That workers have lived, all together."""
    worker_deaths: int = 0
    durations: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    duration_sum: float = 0.0

    def batch_took(self, seconds: float) -> None:
        """A batch is whole."""
        self.durations[bisect_left(BUCKETS, seconds)] += 1
        self.duration_sum += seconds

    @property
    def states(self) -> dict[str, float]:
        """Seconds of all workers by what they did: they worked, waited for their input, or had no room for more."""
        return {
            "busy": self.cpu_seconds,
            "starved": max(0.0, self.task_seconds - self.cpu_seconds),
            "blocked": max(0.0, self.worker_seconds - self.task_seconds),
        }


def exposition(counts: Counts, *, queued: int, capacity: int, workers: int) -> str:
    """All metrics; `queued` are batches that are whole and that no training process has taken."""
    gauges = (
        ("queue_batches", "Batches that wait for a training process.", queued),
        ("queue_capacity_batches", "Batches that there is room for.", capacity),
        ("workers", "Processes that work.", workers),
    )
    lines = [*_lines(counts)]
    for name, words, value in gauges:
        lines += [*_family(name, "gauge", words), f"regatta_preprocess_{name} {value}"]
    return "".join(f"{line}\n" for line in lines)


def _lines(counts: Counts) -> Iterator[str]:
    yield from _family("samples_total", "counter", "Samples in batches that were handed over.")
    yield f"regatta_preprocess_samples_total {counts.samples}"
    yield from _family("read_bytes_total", "counter", "Bytes of samples as they were read from the source.")
    yield f"regatta_preprocess_read_bytes_total {counts.read_bytes}"
    yield from _family("written_bytes_total", "counter", "Bytes of batches that were handed over.")
    yield f"regatta_preprocess_written_bytes_total {counts.written_bytes}"
    yield from _family("errors_total", "counter", "Samples that were found damaged, each once.")
    for reason, number in sorted(counts.errors.items()):
        yield f'regatta_preprocess_errors_total{{reason="{reason}"}} {number}'
    yield from _family(
        "time_seconds_total", "counter", "Time of all workers: at work, waiting for input, without room for more."
    )
    for state, seconds in counts.states.items():
        yield f'regatta_preprocess_time_seconds_total{{state="{state}"}} {seconds:.6f}'
    yield from _family("worker_deaths_total", "counter", "Workers that died and were replaced.")
    yield f"regatta_preprocess_worker_deaths_total {counts.worker_deaths}"
    yield from _family("batch_duration_seconds", "histogram", "From a batch's slot to the whole batch.")
    total = 0
    for bound, number in zip((*BUCKETS, None), counts.durations, strict=True):
        total += number
        yield f'regatta_preprocess_batch_duration_seconds_bucket{{le="{bound or "+Inf"}"}} {total}'
    yield f"regatta_preprocess_batch_duration_seconds_sum {counts.duration_sum:.6f}"
    yield f"regatta_preprocess_batch_duration_seconds_count {total}"


def _family(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP regatta_preprocess_{name} {words}"
    yield f"# TYPE regatta_preprocess_{name} {kind}"


def http_answer(request: bytes, text: str) -> bytes:
    """What a request of Prometheus gets: the metrics at /metrics, else 404."""
    words = request.split(b" ", 2)
    found = len(words) == 3 and words[0] == b"GET" and words[1].split(b"?")[0] == b"/metrics"
    body = (text if found else "the metrics are at /metrics\n").encode()
    head = (
        f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
