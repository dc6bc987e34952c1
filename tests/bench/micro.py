"""What one pod event and one reconcile cost in CPU time, on the code that the operator runs."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from regatta.api.status import TrainingJobStatus
from regatta.control.patch import merge_patch
from regatta.kube.records import pod_facts
from regatta.kube.store import PodStore
from regatta.plan.model import Job, Observed, Outcome, PodFacts
from regatta.plan.plan import plan
from regatta.plan.settle import settle
from tests.bench.report import Result
from tests.builders import INSTALLATION, NOW, job, pod

__all__ = ["measure"]

ROUNDS = 7
EVENT_GOAL = 4.0
"""A watch event may cost four times its own parsing: what is beyond parsing is the record, the store and the queue."""


def measure(pods: list[dict[str, Any]]) -> list[Result]:
    """Measure on real pods as the API server gave them (at least one)."""
    lines = [orjson.dumps({"type": "MODIFIED", "object": pod}) for pod in pods]
    return [*_event(lines), *_reconcile()]


def _event(lines: list[bytes]) -> list[Result]:
    versions = iter(range(1, 10**9))

    def whole() -> None:
        for line in lines:
            event = orjson.loads(line)
            event["object"]["metadata"]["resourceVersion"] = str(next(versions))
            store.event(None, deleted=False, pod=pod_facts(event["object"]))

    def parse() -> None:
        for line in lines:
            orjson.loads(line)

    store = PodStore(changed=lambda key: None)
    ours, floor = _cpu(whole) / len(lines), _cpu(parse) / len(lines)
    size = sum(map(len, lines)) / len(lines)
    return [
        Result(
            what=f"CPU per pod event ({size / 1024:.1f} KiB) / its JSON alone",
            value=f"{ours * 1e6:.1f} us",
            against=f"{floor * 1e6:.1f} us",
            ratio=ours / floor,
            goal=EVENT_GOAL,
        )
    ]


def _reconcile() -> list[Result]:
    results = []
    for workers in (10, 100, 1000):
        current, observed, now = _running(workers)

        def once(current: Job = current, observed: Observed = observed, now: datetime = now) -> None:
            decision = settle(current, plan(current, observed, now), Outcome(), now)
            merge_patch(current.status.to_api(), decision.status.to_api())

        cost = _cpu(once)
        results.append(Result(what=f"CPU per reconcile, {workers} workers running", value=f"{cost * 1e6:.0f} us"))
    current = job(workers=1000).obj()
    cost = _cpu(lambda: plan(current, Observed(installation=INSTALLATION), datetime.now(UTC)))
    results.append(Result(what="CPU to plan 1000 pods of a new job", value=f"{cost * 1e3:.1f} ms"))
    return results


def _running(workers: int) -> tuple[Job, Observed, datetime]:
    """A job in its steady state: all pods train, the status says so already."""
    pods: tuple[PodFacts, ...] = tuple(pod(worker=worker).joined().obj() for worker in range(workers))
    observed = Observed(installation=INSTALLATION, pods=pods)
    builder = job(workers=workers)
    status = TrainingJobStatus()
    for _ in range(3):
        status = plan(builder.with_status(status).obj(), observed, NOW).status
    return builder.with_status(status).obj(), observed, NOW


def _cpu(call: Callable[[], object]) -> float:
    """Median CPU seconds of one call, each round long enough for the clock."""
    gc.collect()
    gc.disable()
    try:
        repeat = 1
        while True:
            began = time.process_time()
            for _ in range(repeat):
                call()
            if time.process_time() - began > 0.05:
                break
            repeat *= 2
        rounds = []
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(repeat):
                call()
            rounds.append((time.process_time() - began) / repeat)
        return statistics.median(rounds)
    finally:
        gc.enable()
