"""What scraping costs with many jobs: `/metrics` and `/metrics/jobs`, of a real operator on a real API server.

One job in ten trains, on a fake node; the others are suspended, or creating all would take a quarter of an hour. CI
takes few; `make scale` the ten thousand that the limits are meant for (REGATTA_SCALE_JOBS). The page of jobs that have
been in every state of the ledger is measured in tests/bench/scrapes.py.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from regatta.kube.lease import Timing
from regatta.kube.resources import TRAINING_JOBS
from tests.cluster.machine_room.replica import Replica, replica
from tests.scale.conftest import Fleet, fleet_job
from tests.unit.telemetry.exposition import excerpt, problems

pytestmark = pytest.mark.cluster

JOBS = int(os.environ.get("REGATTA_SCALE_JOBS", "500"))
RUNNING = JOBS // 10
SCRAPES = 15
LIMITS = {"/metrics": 0.05, "/metrics/jobs": 0.2}
"""Seconds, of the median scrape."""
APPLYING = 32
PATIENT = Timing(duration=60, deadline=45.0, retry=2.0)
"""Nobody starts this operator again when a busy machine keeps it from its lease."""


async def test_scrapes_stay_short_however_many_jobs_there_are(fleet: Fleet) -> None:
    cluster = fleet.cluster
    async with replica(
        kubeconfig=cluster.kubeconfig, context=cluster.context, namespace=fleet.namespace, lease=PATIENT
    ) as operator:
        await operator.until(leading=True)
        empty = resident(operator)
        began = time.monotonic()
        numbers = iter(range(JOBS))
        async with asyncio.TaskGroup() as group:
            for _ in range(APPLYING):
                group.create_task(apply(fleet, numbers))
        await until_settled(operator)
        taken = time.monotonic() - began
        full = resident(operator)
        spent = {path: await scraped(operator, path) for path in LIMITS}
        after = resident(operator)
        sizes = {path: len(await body(operator, path)) for path in LIMITS}
        wrong = {path: problems(excerpt(await body(operator, path))) for path in LIMITS}
    print(f"\n{JOBS} jobs, {RUNNING} of which train after {taken:.0f} s")
    for path, times in spent.items():
        limit, most = LIMITS[path], max(times)
        print(
            f"{path}: median {statistics.median(times) * 1e3:.1f} ms, longest {most * 1e3:.1f} ms of {SCRAPES} "
            f"(limit {limit * 1e3:.0f} ms), {sizes[path] / 1e6:.2f} MB"
        )
    print(f"resident memory: {empty:.0f} MB empty, {full:.0f} MB with all jobs, {after:.0f} MB after the scrapes")
    assert wrong == {path: [] for path in LIMITS}
    for path, times in spent.items():
        assert statistics.median(times) < LIMITS[path], f"{path}: {sorted(times)}"


async def apply(fleet: Fleet, numbers: Iterator[int]) -> None:
    """Create the jobs of a queue."""
    for number in numbers:
        body = fleet_job(f"job-{number}", workers=1)
        body["spec"]["suspend"] = number >= RUNNING
        await fleet.client.create(TRAINING_JOBS, namespace=fleet.namespace, body=body)


async def until_settled(operator: Replica) -> None:
    """Return when every job trains or is suspended, and the operator has nothing to do."""
    wanted = {"Running": RUNNING, "Suspended": JOBS - RUNNING}
    try:
        async with asyncio.timeout(120 + JOBS / 8):
            for phase, number in wanted.items():
                while await operator.metric("regatta_trainingjobs", phase=phase) < number:
                    assert operator.process.returncode is None, operator.log()
                    await asyncio.sleep(1.0)
            while await operator.metric("regatta_workqueue_depth"):
                await asyncio.sleep(0.5)
    except TimeoutError:
        counts = {phase: await operator.metric("regatta_trainingjobs", phase=phase) for phase in wanted}
        raise AssertionError(f"{counts} instead of {wanted}\n{operator.log()}") from None


async def body(operator: Replica, path: str) -> str:
    """What a path says, unpacked."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{operator.port}{path}") as answer:
        assert answer.status == 200
        return await answer.text()


async def scraped(operator: Replica, path: str) -> list[float]:
    """Seconds of each of some scrapes as Prometheus makes them, packed, from the request to the last byte."""
    times = []
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for _ in range(SCRAPES):
            began = time.monotonic()
            headers = {"Accept-Encoding": "gzip"}
            async with session.get(f"http://127.0.0.1:{operator.port}{path}", headers=headers) as answer:
                await answer.read()
            times.append(time.monotonic() - began)
            await asyncio.sleep(0.2)
    return times


def resident(operator: Replica) -> float:
    """Resident memory of the operator, in MB."""
    lines = Path(f"/proc/{operator.process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS:"))
