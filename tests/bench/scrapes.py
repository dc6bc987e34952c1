"""What `/metrics/jobs` costs with ten thousand jobs in one process: filling the store, and one scrape of it."""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Callable

from regatta.api.status import Phase, TrainingJobStatus
from regatta.plan.ledger import STATES
from regatta.telemetry.jobseries import JobSeries
from tests.bench.report import Result
from tests.builders import job

__all__ = ["measure"]

JOBS = 10_000
LIMIT = 0.2
ROUNDS = 7


def measure() -> list[Result]:
    """Measure with jobs that have been in all states of the ledger; CPU time, of which a scrape uses one core."""
    ledger = {state: 1000.0 + number for number, state in enumerate(STATES)}
    status = TrainingJobStatus(phase=Phase.RUNNING, attempt=1, ledger=ledger)
    jobs = [job(f"job-{number}", gpusPerWorker=8).with_status(status).obj() for number in range(JOBS)]
    store = JobSeries()

    def fill() -> None:
        for each in jobs:
            store.put(each, bound=2)

    filling = _seconds(fill)
    size = len(store.snapshot()())
    scrape = _seconds(lambda: store.snapshot()())
    packed = _seconds(lambda: gzip.compress(store.snapshot()(), 1))
    return [
        Result(what="CPU per change of a job's series", value=f"{filling / JOBS * 1e6:.1f} us"),
        Result(
            what=f"/metrics/jobs of {JOBS} jobs ({size / 1e6:.0f} MB)",
            value=f"{scrape * 1e3:.0f} ms",
            against=f"{LIMIT * 1e3:.0f} ms",
            ratio=scrape / LIMIT,
            goal=1.0,
        ),
        Result(
            what="  the same, packed as Prometheus asks for it",
            value=f"{packed * 1e3:.0f} ms",
            against=f"{LIMIT * 1e3:.0f} ms",
            ratio=packed / LIMIT,
            goal=1.0,
        ),
    ]


def _seconds(call: Callable[[], object]) -> float:
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return statistics.median(spent)
