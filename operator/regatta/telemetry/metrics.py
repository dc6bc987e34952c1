"""The operator's own metrics: how it is doing, never how one job is doing.

Labels come from closed sets. What can be read from living structures (queue, caches) is read when scraped; only what
passes by is counted as it passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from regatta import __version__
from regatta.telemetry.lifecycle import Lifecycle

__all__ = ["Fleet", "Metrics", "Price"]

# A second series beside each counter and histogram, which no query uses.
disable_created_metrics()  # type: ignore[no-untyped-call]

FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
LAG: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)

RESULTS: Final = frozenset({"ok", "gone", "found", "conflict", "error"})
EVENT_TYPES: Final = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"})
REASONS: Final = frozenset({"ended", "expired", "unavailable", "refused"})
OTHER: Final = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one of a resource costs an hour."""

    resource: str
    currency: str
    hourly: float


class Fleet(Protocol):
    """Sums over all jobs, which change while they are read on another thread."""

    @property
    def counts(self) -> Mapping[tuple[str, str, str], int]:
        """Jobs by namespace, framework and phase."""

    @property
    def requested(self) -> Mapping[tuple[str, str], int]:
        """Accelerators by namespace and resource."""

    @property
    def allocated(self) -> Mapping[tuple[str, str], int]:
        """Accelerators by namespace and resource."""


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self, *, revision: str = "", prices: Sequence[Price] = ()) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Gauge("regatta_build_info", "Version of the operator.", ["version", "revision"], registry=registry).labels(
            __version__, revision
        ).set(1)
        self._reconciles = Histogram(
            "regatta_reconcile_duration_seconds", "Time of one reconcile.", ["result"], buckets=FAST, registry=registry
        )
        self._errors = Counter("regatta_reconcile_errors", "Reconciles that failed.", ["reason"], registry=registry)
        self._waits = Histogram(
            "regatta_workqueue_wait_seconds", "Time a key waited for a worker.", buckets=FAST, registry=registry
        )
        self._watch_events = Counter(
            "regatta_watch_events", "Watch events taken.", ["resource", "type"], registry=registry
        )
        self._watch_restarts = Counter(
            "regatta_watch_restarts", "Watches taken up again.", ["resource", "reason"], registry=registry
        )
        self._requests = Histogram(
            "regatta_api_request_duration_seconds",
            "Time of one HTTP request to the API server.",
            ["verb", "resource", "code"],
            buckets=FAST,
            registry=registry,
        )
        self._lag = Histogram(
            "regatta_event_loop_lag_seconds",
            "How late the event loop runs what is due.",
            buckets=LAG,
            registry=registry,
        )
        self._leader = Gauge("regatta_leader", "1 while this replica leads.", registry=registry)
        self._leader.set(0)
        self.lifecycle = Lifecycle(registry)
        if prices:
            hourly = Gauge(
                "regatta_resource_hourly_price",
                "What one of the resource costs an hour, as the installation says.",
                ["resource", "currency"],
                registry=registry,
            )
            for price in prices:
                hourly.labels(price.resource, price.currency).set(price.hourly)
        self._request_children: dict[tuple[str, str, int], Histogram] = {}

    def reconciled(self, *, result: str, seconds: float) -> None:
        """One reconcile has ended."""
        self._reconciles.labels(result if result in RESULTS else OTHER).observe(seconds)

    def failed(self, reason: str) -> None:
        """One reconcile failed; the reason is the name of an exception's class."""
        self._errors.labels(reason).inc()

    def waited(self, seconds: float) -> None:
        """One key was taken from the queue."""
        self._waits.observe(seconds)

    def lagged(self, seconds: float) -> None:
        """The loop ran something so much late."""
        self._lag.observe(seconds)

    def leads(self, leading: bool) -> None:
        """Whether this replica leads."""
        self._leader.set(1 if leading else 0)

    def request(self, *, verb: str, resource: str, code: int, seconds: float) -> None:
        """One HTTP request has ended; code 0 means that no answer came. Verb and resource are names in our code."""
        key = (verb, resource, code)
        child = self._request_children.get(key)
        if child is None:
            child = self._request_children[key] = self._requests.labels(verb, resource, str(code))
        # A watch lasts for minutes by design: its duration would say nothing.
        child.observe(0.0 if verb == "watch" else seconds)

    def event(self, *, resource: str, kind: str) -> None:
        """One watch event."""
        self._watch_events.labels(resource, kind if kind in EVENT_TYPES else OTHER).inc()

    def restart(self, *, resource: str, reason: str) -> None:
        """A watch was taken up again."""
        self._watch_restarts.labels(resource, reason if reason in REASONS else OTHER).inc()

    def observe(
        self,
        *,
        queued: Callable[[], int],
        cached: Mapping[str, Callable[[], int]],
        silent: Mapping[str, Callable[[], float]],
        fleet: Fleet,
    ) -> None:
        """Have the queue, the caches (objects, and seconds since each was heard) and the jobs read at each scrape."""
        self.registry.register(_Living(queued=queued, cached=cached, silent=silent, fleet=fleet))


class _Living:
    """Reads structures that live anyway, at the time of the scrape."""

    def __init__(
        self,
        *,
        queued: Callable[[], int],
        cached: Mapping[str, Callable[[], int]],
        silent: Mapping[str, Callable[[], float]],
        fleet: Fleet,
    ) -> None:
        self._queued = queued
        self._cached = cached
        self._silent = silent
        self._fleet = fleet

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("regatta_workqueue_depth", "Keys that wait for a worker.", value=self._queued())
        caches = GaugeMetricFamily("regatta_cache_objects", "Objects known.", labels=["resource"])
        for resource, count in self._cached.items():
            caches.add_metric([resource], count())
        yield caches
        synced = GaugeMetricFamily(
            "regatta_cache_sync_timestamp_seconds",
            "When the cache was last known to be what the API server says.",
            labels=["resource"],
        )
        for resource, silent in self._silent.items():
            synced.add_metric([resource], time.time() - silent())
        yield synced
        fleet = self._fleet
        for name, text, labels, numbers in (
            ("regatta_trainingjobs", "TrainingJobs by phase.", ["namespace", "framework", "phase"], fleet.counts),
            (
                "regatta_accelerators_requested",
                "Accelerators that jobs ask for which have not ended.",
                ["namespace", "resource"],
                fleet.requested,
            ),
            (
                "regatta_accelerators_allocated",
                "Accelerators of pods that hold a node.",
                ["namespace", "resource"],
                fleet.allocated,
            ),
        ):
            family = GaugeMetricFamily(name, text, labels=labels)
            # A copy, made in one go: the scrape is on another thread than the changes.
            for values, number in dict(numbers).items():
                family.add_metric(values, number)
            yield family
