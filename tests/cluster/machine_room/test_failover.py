"""A leader that dies in the middle of its work is replaced in time, and nothing is made twice or left out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from regatta.kube.lease import Timing
from regatta.kube.resources import TRAINING_JOBS
from tests.cluster.machine_room.conftest import Place
from tests.cluster.machine_room.replica import replica
from tests.cluster.machine_room.scene import idle_job
from tests.cluster.machine_room.witness import witness
from tests.cluster.tool import api as tool

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("alone")]

WORKERS = 200
DEFAULT = Timing()


async def test_a_leader_killed_while_it_creates_200_pods_is_replaced_and_the_rest_is_created(
    place: Place, cluster: tool.Cluster
) -> None:
    async with AsyncExitStack() as stack:
        seen = await stack.enter_async_context(witness(place.client, place.namespace))
        first, second = [
            await stack.enter_async_context(
                replica(
                    kubeconfig=cluster.kubeconfig,
                    context=cluster.context,
                    namespace=place.namespace,
                    name=name,
                    lease=DEFAULT,
                )
            )
            for name in ("first", "second")
        ]
        await asyncio.gather(first.until(leading=True), second.until(leading=False))
        body = idle_job("job-a", workers=WORKERS)
        await place.client.create(TRAINING_JOBS, namespace=place.namespace, body=body)
        await seen.until_created("job-a", attempt=1, count=WORKERS // 4)
        first.process.kill()
        killed_at = asyncio.get_running_loop().time()
        # The standby's caches are warm: it hears of the job and of the pods that the other creates.
        await asyncio.sleep(1)
        left_behind = len(seen.pods)
        assert WORKERS // 4 <= left_behind < WORKERS
        assert await second.metric("regatta_cache_objects", resource="pods") == left_behind
        assert await second.metric("regatta_cache_objects", resource="trainingjobs") == 1
        done_at = await seen.until_created("job-a", attempt=1, count=WORKERS, seconds=60)
        await second.until(leading=True, seconds=5)
        while True:
            job = await place.client.get(TRAINING_JOBS, namespace=place.namespace, name="job-a")
            if job["status"].get("workers", {}).get("created") == WORKERS:
                break
            await asyncio.sleep(0.1)
        assert {pod.worker for pod in seen.of("job-a", attempt=1)} == set(range(WORKERS))
        assert seen.twice() == {}
        assert len(seen.pods) == WORKERS
        assert job["status"].get("failures", []) == []
        took = done_at - killed_at
        print(f"\nkilled with {left_behind} of {WORKERS} pods created; the last one {took:.1f} s after the kill")
        assert took <= DEFAULT.duration + 2
