"""What Prometheus knows of a job: its course over time, and all that is left of it when it is gone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from regatta.cli.report.prometheus import Prometheus, PrometheusError, quoted
from regatta.cli.report.story import Chart, Curve, Story
from regatta.cli.spending import STATES, amounts
from regatta.cli.text import span

__all__ = ["Window", "found_window", "gone_story", "with_course"]

POINTS: Final = 300
"""Of a curve at most."""
SCRAPE: Final = 60.0
"""Least distance of points: the operator's series of a job are scraped once a minute."""
LEDGER: Final = "regatta_trainingjob_time_seconds_total"
STEPPING: Final = 'state=~"step|rework|data_wait"'
ENDS: Final = ("Succeeded", "Failed")
TIME: Final = "regatta_runtime_time_seconds_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when to when the job was seen."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Distance of points that fits the window."""
        return max(15.0, round((self.end - self.start) / POINTS))


def found_window(prometheus: Prometheus, namespace: str, name: str, *, since: float, until: float) -> Window:
    """When the job was seen between the two moments; raises where it never was."""
    step = max(SCRAPE, (until - since) / 10_000)
    own = _own(namespace, name)
    seen = prometheus.over(
        f"max(present_over_time(regatta_trainingjob_attempt{own}[{step:.0f}s]))", start=since, end=until, step=step
    )
    times = [at for _, points in seen for at, _ in points]
    if not times:
        raise PrometheusError(
            f"Prometheus at {prometheus.address} knows no job {name} in namespace {namespace} in the last "
            f"{span(until - since)}; look further back with --since, or elsewhere with --namespace"
        )
    return Window(start=max(since, min(times) - step), end=min(until, max(times) + step))


def with_course(story: Story, prometheus: Prometheus, window: Window) -> Story:
    """The story and the job's course over time."""
    own = _own(story.namespace, story.name)
    charts = tuple(_charts(prometheus, own, window))
    notes = () if charts else ("Prometheus has no curves of this job: is its pod's port 9464 scraped?",)
    return replace(
        story,
        charts=charts,
        restarts_at=_new_attempts(prometheus, own, window),
        sources=(*story.sources, f"Prometheus at {prometheus.address}"),
        notes=(*story.notes, *notes),
    )


def gone_story(prometheus: Prometheus, namespace: str, name: str, window: Window, *, now: datetime) -> Story:
    """What is left of a job that no longer exists: the last that was told of it."""
    own = _own(namespace, name)
    width = f"{max(SCRAPE * 2, window.end - window.start + SCRAPE):.0f}s"

    def last(metric: str) -> list[tuple[dict[str, str], float]]:
        return prometheus.at(f"last_over_time({metric}{own}[{width}])", time=window.end)

    def newest(metric: str) -> list[tuple[dict[str, str], float]]:
        """What was told last, where a label tells it and earlier ones linger in the window."""
        when = f"timestamp({metric}{own})"
        found = prometheus.at(f"max_over_time({when}[{width}:{SCRAPE:.0f}s])", time=window.end)
        return sorted(found, key=lambda each: each[1])[-1:]

    info = {label: value for labels, _ in newest("regatta_trainingjob_info") for label, value in labels.items()}
    phase = next((labels.get("phase", "") for labels, _ in newest("regatta_trainingjob_phase")), "")
    accelerators = last("regatta_trainingjob_accelerators")
    workers = _highest(last("regatta_trainingjob_pods_desired"))
    created = _highest(last("regatta_trainingjob_created_timestamp_seconds"))
    many = int(sum({labels.get("resource", ""): value for labels, value in accelerators}.values()))
    resource = next((labels.get("resource", "") for labels, _ in accelerators), "")
    return Story(
        namespace=namespace,
        name=name,
        made_at=now,
        framework=info.get("framework", ""),
        phase=phase,
        reason="" if phase in ENDS else "when it was last seen",
        shape=_shape(workers, many, resource=resource),
        attempt=None if (attempt := _highest(last("regatta_trainingjob_attempt"))) is None else int(attempt),
        created_at=None if created is None else datetime.fromtimestamp(created, UTC),
        ended_at=datetime.fromtimestamp(window.end, UTC) if phase in ENDS else None,
        accelerators=many,
        workers=int(workers or 0),
        ledger=amounts(_by(last(LEDGER), "state")),
        failure_counts={
            cause: int(count) for cause, count in _by(last("regatta_trainingjob_failures_total"), "cause").items()
        },
        notes=("The job no longer exists: this is what Prometheus was told of it, up to a minute before its end.",),
    )


def _charts(prometheus: Prometheus, own: str, window: Window) -> Iterator[Chart]:
    step = window.step
    short, long = f"[{max(120.0, 2 * step):.0f}s]", f"[{max(240.0, 2 * step):.0f}s]"
    rank_0 = _and(own, 'rank="0"')

    def ask(query: str) -> list[tuple[dict[str, str], tuple[tuple[float, float], ...]]]:
        return prometheus.over(query, start=window.start, end=window.end, step=step)

    def chart(title: str, words: str, unit: str, *curves: tuple[str, str]) -> Iterator[Chart]:
        found = tuple(Curve(name=name, points=points) for name, query in curves for _, points in ask(query) if points)
        if found:
            yield Chart(title=title, words=words, unit=unit, curves=found, step=step)

    def stack(title: str, words: str, query: str, order: tuple[str, ...]) -> Iterator[Chart]:
        parts = {labels.get("state", ""): points for labels, points in ask(query) if points}
        if parts:
            shares = _shares(parts, order)
            yield Chart(title=title, words=words, unit="%", curves=shares, step=max(step, SCRAPE), stacked=True)

    yield from stack(
        "Time by state",
        "The ledger over time: what the job did at each moment.",
        f"max by (state) (rate({LEDGER}{own}{long}))",
        tuple(STATES),
    )
    yield from chart(
        "Samples per second",
        "Of all processes together.",
        "",
        ("all processes", f"sum(rate(regatta_runtime_samples_total{own}{short}))"),
    )
    steps = f"(sum(rate(regatta_runtime_steps_total{rank_0}{short})) > 0)"
    spent = f"{TIME}{_and(rank_0, STEPPING)}"
    yield from chart(
        "Time of a step",
        "Mean, with its wait for data.",
        "s",
        ("rank 0", f"sum(rate({spent}{short})) / {steps}"),
    )
    waits = _and(own, 'state="data_wait"')
    yield from chart(
        "Wait for data",
        "Share of the processes' time in which they waited for a batch.",
        "%",
        ("all processes", f"sum(rate({TIME}{waits}{short})) / sum(rate({TIME}{own}{short}))"),
    )
    yield from stack(
        "What the feed did meanwhile",
        "Busy while training waits: it wants more CPU. Starved: the storage is too slow. Blocked: it is ahead.",
        f"sum by (state) (rate(regatta_preprocess_time_seconds_total{own}{short}))",
        ("busy", "starved", "blocked"),
    )


def _shares(parts: dict[str, tuple[tuple[float, float], ...]], order: tuple[str, ...]) -> tuple[Curve, ...]:
    """Parts of the whole at each moment, known ones first and in their order."""
    whole: dict[float, float] = {}
    for points in parts.values():
        for at, value in points:
            whole[at] = whole.get(at, 0.0) + value
    places = {name: index for index, name in enumerate(order)}
    names = sorted(parts, key=lambda name: (places.get(name, len(places)), name))
    times = sorted(at for at, value in whole.items() if value > 0)
    curves = []
    for name in names:
        known = dict(parts[name])
        curves.append(Curve(name=name, points=tuple((at, known.get(at, 0.0) / whole[at]) for at in times)))
    return tuple(curve for curve in curves if any(value > 0 for _, value in curve.points))


def _new_attempts(prometheus: Prometheus, own: str, window: Window) -> tuple[float, ...]:
    found = prometheus.over(
        f"max(regatta_trainingjob_attempt{own})", start=window.start, end=window.end, step=window.step
    )
    points = [point for _, told in found for point in told]
    return tuple(at for (_, before), (at, after) in itertools.pairwise(points) if after > before >= 1)


def _own(namespace: str, name: str) -> str:
    return f"{{namespace={quoted(namespace)}, trainingjob={quoted(name)}}}"


def _and(own: str, matcher: str) -> str:
    return f"{own[:-1]}, {matcher}}}"


def _by(found: list[tuple[dict[str, str], float]], label: str) -> dict[str, float]:
    """The highest value of each label: what replicas of the operator told one after the other grows."""
    values: dict[str, float] = {}
    for labels, value in found:
        key = labels.get(label, "")
        values[key] = max(value, values.get(key, value))
    return values


def _highest(found: list[tuple[dict[str, str], float]]) -> float | None:
    return max((value for _, value in found), default=None)


def _shape(workers: float | None, accelerators: int, *, resource: str) -> str:
    if not workers:
        return ""
    pods = f"{workers:.0f} worker{'s' if workers != 1 else ''}"
    return f"{pods}, {accelerators} {resource} in all" if accelerators else f"{pods}, without GPUs"
