"""From a failed pod to the whole next attempt: what of that time is the operator's, for a job of 200 workers.

The operator's own time is taken high: all of it from the failed pod's event to the first new pod, the four requests
in between included, and from there on its CPU time. The rest is the API server, creating and deleting 200 pods.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from dataclasses import dataclass

import pytest

from regatta.kube.resources import TRAINING_JOBS
from tests.cluster.machine_room.replica import Replica, replica
from tests.cluster.machine_room.scene import end
from tests.cluster.machine_room.witness import Witness, witness
from tests.scale.conftest import Fleet, fleet_job

pytestmark = pytest.mark.cluster

WORKERS = 200
LIMIT = 1.0
ROUNDS = int(os.environ.get("REGATTA_SCALE_ROUNDS", "1"))


@dataclass(frozen=True, slots=True)
class Restart:
    """Seconds."""

    decision: float
    """From the failed pod's event to the first pod of the next attempt."""
    cpu: float
    """Of the operator, from the first of these pods to the last."""
    whole: float
    """From the event to the last pod."""

    @property
    def own(self) -> float:
        """What is the operator's."""
        return self.decision + self.cpu


@pytest.mark.pitfall(19)
async def test_200_workers_start_anew_in_less_than_a_second_of_the_operators_time(fleet: Fleet) -> None:
    async with (
        witness(fleet.client, fleet.namespace) as seen,
        replica(
            kubeconfig=fleet.cluster.kubeconfig, context=fleet.cluster.context, namespace=fleet.namespace
        ) as operator,
    ):
        await operator.until(leading=True)
        restarts = [await restart(fleet, seen, operator, name=f"job-{number}") for number in range(ROUNDS)]
        assert seen.twice() == {}
    own = statistics.median(one.own for one in restarts)
    for one in restarts:
        print(
            f"\nfailed pod to {WORKERS} new ones: {one.whole:.2f} s; the operator's own {one.own:.2f} s "
            f"({one.decision:.2f} s to the first pod, {one.cpu:.2f} s of CPU from there)"
        )
    assert own < LIMIT


async def restart(fleet: Fleet, seen: Witness, operator: Replica, *, name: str) -> Restart:
    """Run a job, fail one of its pods, and measure until its next attempt is whole."""
    body = fleet_job(name, workers=WORKERS)
    await fleet.client.create(TRAINING_JOBS, namespace=fleet.namespace, body=body)
    await until_running(fleet, operator, name)
    failing = f"{name}-1-77"
    await end(fleet.api, fleet.namespace, [failing], code=1)
    first = await seen.until_created(name, attempt=2, count=1)
    cpu = operator.cpu_seconds()
    last = await seen.until_created(name, attempt=2, count=WORKERS, seconds=120)
    cpu = operator.cpu_seconds() - cpu
    failed = seen.failed_at[failing]
    await until_running(fleet, operator, name, attempt=2)
    assert {pod.worker for pod in seen.of(name, attempt=2)} == set(range(WORKERS))
    await fleet.client.delete(TRAINING_JOBS, namespace=fleet.namespace, name=name)
    return Restart(decision=first - failed, cpu=cpu, whole=last - failed)


async def until_running(fleet: Fleet, operator: Replica, name: str, *, attempt: int = 1) -> None:
    """Return when the attempt trains and nothing more is to be done for it."""
    status: dict[str, object] = {}
    try:
        async with asyncio.timeout(120):
            while (status.get("phase"), status.get("attempt")) != ("Running", attempt):
                await asyncio.sleep(0.2)
                job = await fleet.client.get(TRAINING_JOBS, namespace=fleet.namespace, name=name)
                status = job.get("status", {})
    except TimeoutError:
        raise AssertionError(f"{name} does not run: {status}\n{operator.log()}") from None
