"""How fast a pipeline is, and what each of its steps costs."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from regatta_feed.isolate import isolated
from regatta_feed.pipeline import Pipeline
from regatta_feed.schema import Schema
from regatta_feed.server import Server, Settings

__all__ = ["measure", "step_table"]

SAMPLES = 256
"""That the table of the steps looks at, at most."""


def measure(pipeline: Pipeline, settings: Settings, *, layout: str | None) -> Iterator[str]:
    """Run some epochs (one if nobody says more) into nowhere, and say how fast that was."""
    schema = schema_of(pipeline, layout or "NCHW")
    remote = pipeline.encoded is not None
    if not remote:
        yield from step_table(pipeline, schema)
    server = Server(pipeline, schema, replace(settings, sink=True, stay=False, epochs=settings.epochs or 1))
    before, wall = _cpu_seconds(), time.monotonic()
    server.run()
    cpu, seconds = _cpu_seconds() - before, time.monotonic() - wall
    counts = server.counts
    processes = f"{settings.processes} process{'es' if settings.processes > 1 else ''}"
    yield f"{counts.samples} samples in {seconds:.2f} s with {processes}: {counts.samples / seconds:.0f} a second"
    yield f"{cpu:.2f} CPU seconds: {counts.samples / cpu:.0f} samples per CPU second"
    states = counts.states
    total = sum(states.values()) or 1.0
    shares = ", ".join(f"{state} {seconds / total:.0%}" for state, seconds in states.items())
    yield f"time of the processes: {shares}"
    if server.damaged:
        yield f"{len(server.damaged)} damaged samples were replaced"
    if remote:  # reading starts threads, and workers cannot be forked beside them
        yield from step_table(pipeline, schema)


def schema_of(pipeline: Pipeline, layout: str) -> Schema:
    """The pipeline's schema, found in a process of its own where finding it starts threads."""
    if pipeline.encoded is None:
        return pipeline.schema(layout)
    schema, pipeline.damaged = isolated(lambda: (pipeline.schema(layout), pipeline.damaged))
    return schema


def _cpu_seconds() -> float:
    """Of this process and of its workers that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def step_table(pipeline: Pipeline, schema: Schema) -> Iterator[str]:
    """What each step costs, of a few samples in this process, the first of them not counted."""
    order = pipeline.order
    arrays = {each.name: np.ones((order.largest, *each.shape), each.dtype) for each in schema.fields}
    todo = list(_batches(pipeline))
    pipeline.fill(arrays, schema, epoch=0, step=0, rank=0, part=range(min(8, order.batch)))
    pipeline.seconds = {}
    count = 0
    for step in todo:
        part = range(len(order.span(step=step, rank=0)))
        pipeline.fill(arrays, schema, epoch=0, step=step, rank=0, part=part)
        count += len(part)
    seconds, pipeline.seconds = pipeline.seconds, None
    total = sum(seconds.values())
    yield f"{'step':<28}{'µs a sample':>12}{'share':>8}"
    for name, each in seconds.items():
        yield f"{name:<28}{each / count * 1e6:>12.0f}{each / total:>8.0%}"
    yield f"{'all':<28}{total / count * 1e6:>12.0f}{count / total:>8.0f} a CPU second, of {count} samples"


def _batches(pipeline: Pipeline) -> Iterator[Any]:
    left = SAMPLES
    for step in range(pipeline.order.steps):
        if left <= 0:
            return
        left -= len(pipeline.order.span(step=step, rank=0))
        yield step
