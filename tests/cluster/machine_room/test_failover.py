"""A leader that dies in the middle of its work is replaced in time, and nothing is made twice or left out."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regatta.kube.lease import Timing
from regatta.kube.resources import TRAINING_JOBS
from tests.cluster.machine_room.conftest import Place
from tests.cluster.machine_room.faults import Delay
from tests.cluster.machine_room.proxy import FaultProxy, Rule
from tests.cluster.machine_room.replica import QUICK, Replica, replica
from tests.cluster.machine_room.scene import idle_job
from tests.cluster.machine_room.witness import Witness, witness

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("alone")]

WORKERS = 200
DEFAULT = Timing()
SLOWNESS = Delay(1.0)
"""Of each pod's creation until the leader is struck: 200 of them then take seconds, however quick the machine is."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A leader in the middle of creating pods, its standby, and the witness of it all."""

    place: Place
    leader: Replica
    standby: Replica
    seen: Witness
    slow: Rule

    def strike(self, signum: signal.Signals) -> None:
        """Send the leader a signal; what is asked for from now on is answered at once."""
        self.leader.process.send_signal(signum)
        self.slow.stop()

    async def status(self) -> dict[str, Any]:
        job = await self.place.client.get(TRAINING_JOBS, namespace=self.place.namespace, name="job-a")
        return dict(job.get("status", {}))

    async def version(self) -> str:
        job = await self.place.client.get(TRAINING_JOBS, namespace=self.place.namespace, name="job-a")
        return str(job["metadata"]["resourceVersion"])

    async def quiet_version(self) -> str:
        """The job's version once nobody has written it for two seconds."""
        before = ""
        while before != (now := await self.version()):
            before = now
            await asyncio.sleep(2)
        return now

    async def until_whole(self) -> float:
        """Return when the other has finished the work, and the time of its last pod."""
        done_at = await self.seen.until_created("job-a", attempt=1, count=WORKERS, seconds=60)
        await self.standby.until(leading=True, seconds=5)
        async with asyncio.timeout(20):
            while (await self.status()).get("workers", {}).get("created") != WORKERS:
                await asyncio.sleep(0.1)
        return done_at

    async def assert_each_worker_has_one_pod(self) -> None:
        assert {pod.worker for pod in self.seen.of("job-a", attempt=1)} == set(range(WORKERS))
        assert self.seen.twice() == {}
        assert len(self.seen.pods) == WORKERS
        assert (await self.status()).get("failures", []) == []


@asynccontextmanager
async def pair_at_work(place: Place, *, lease: Timing) -> AsyncIterator[Pair]:
    """Two operators and a job of 200 workers, a quarter of whose pods exist."""
    async with AsyncExitStack() as stack:
        seen = await stack.enter_async_context(witness(place.client, place.namespace))
        proxy = stack.enter_context(FaultProxy(place.connection))
        slow = proxy.inject(SLOWNESS, verb="create", resource="pods", subresource="")
        kubeconfig = proxy.kubeconfig(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        first, second = [
            await stack.enter_async_context(
                replica(kubeconfig=kubeconfig, namespace=place.namespace, name=name, lease=lease)
            )
            for name in ("one", "other")
        ]
        await asyncio.gather(first.until_ready(), second.until_ready())
        async with asyncio.timeout(10):
            while not (await first.leads() or await second.leads()):
                await asyncio.sleep(0.1)
        leader, standby = (first, second) if await first.leads() else (second, first)
        body = idle_job("job-a", workers=WORKERS)
        await place.client.create(TRAINING_JOBS, namespace=place.namespace, body=body)
        await seen.until_created("job-a", attempt=1, count=WORKERS // 4)
        yield Pair(place, leader, standby, seen, slow)


async def test_a_leader_killed_while_it_creates_200_pods_is_replaced_and_the_rest_is_created(
    place: Place,
) -> None:
    async with pair_at_work(place, lease=DEFAULT) as pair:
        pair.strike(signal.SIGKILL)
        killed_at = asyncio.get_running_loop().time()
        # The standby's caches are warm: it hears of the job and of the pods that the other creates.
        await asyncio.sleep(1)
        left_behind = len(pair.seen.pods)
        assert WORKERS // 4 <= left_behind < WORKERS
        assert await pair.standby.metric("regatta_cache_objects", resource="pods") == left_behind
        assert await pair.standby.metric("regatta_cache_objects", resource="trainingjobs") == 1
        took = await pair.until_whole() - killed_at
        await pair.assert_each_worker_has_one_pod()
        print(f"\nkilled with {left_behind} of {WORKERS} pods created; the last one {took:.1f} s after the kill")
        assert took <= DEFAULT.duration + 2


async def test_a_leader_that_was_frozen_writes_nothing_once_it_was_replaced(
    place: Place,
) -> None:
    async with pair_at_work(place, lease=QUICK) as pair:
        pair.strike(signal.SIGSTOP)
        await asyncio.sleep(1)
        assert len(pair.seen.pods) < WORKERS
        await pair.until_whole()
        stored = await pair.quiet_version()
        pair.leader.process.send_signal(signal.SIGCONT)
        assert await pair.leader.ended(seconds=15) == 1
        await pair.assert_each_worker_has_one_pod()
        assert await pair.version() == stored
