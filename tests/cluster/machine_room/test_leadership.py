"""Leadership on a real Lease, and whole operator processes that start, stop, die and take over."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import pytest

from regatta.kube.client import Client
from regatta.kube.lease import Elector, KubeLease, LeadershipLost, Timing
from regatta.kube.resources import TRAINING_JOBS
from regatta.kube.wire import RECURSION_LIMIT
from tests.builders import manifest
from tests.cluster.machine_room.conftest import Place
from tests.cluster.machine_room.line import Line
from tests.cluster.machine_room.replica import Replica, replica
from tests.cluster.tool import api as tool

pytestmark = pytest.mark.cluster

DEEP = 5000
QUICK = Timing(duration=5, deadline=3.0, retry=0.3)


def elector(client: Client, place: Place, name: str) -> Elector:
    return Elector(KubeLease(client, namespace=place.namespace, name="lead"), identity=name, timing=QUICK)


async def test_one_of_many_leads_and_a_release_hands_over_at_once(place: Place) -> None:
    electors = {name: elector(place.client, place, name) for name in "abc"}
    tasks = {name: asyncio.create_task(one.acquire()) for name, one in electors.items()}
    done, _ = await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
    (first,) = [name for name, task in tasks.items() if task in done]
    lease = place.api.get("leases", "lead", namespace=place.namespace)["spec"]
    assert lease["holderIdentity"] == first
    await electors[first].release()
    async with asyncio.timeout(2):
        await asyncio.wait([task for name, task in tasks.items() if name != first], return_when=asyncio.FIRST_COMPLETED)
    assert [one.leading for one in electors.values()].count(True) == 1
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def test_a_leader_whose_line_goes_dead_stops_before_the_next_one_starts(place: Place) -> None:
    async with Line(place.connection) as line, Client(line.connection) as cut_off:
        old, new = elector(cut_off, place, "old"), elector(place.client, place, "new")
        await old.acquire()
        taking = asyncio.create_task(new.acquire())
        holding = asyncio.create_task(old.hold())
        await asyncio.sleep(QUICK.retry)
        line.go_dead(for_good=True)
        with pytest.raises(LeadershipLost):
            await asyncio.wait_for(holding, 10)
        assert not taking.done()
        await asyncio.wait_for(taking, 10)
        assert not old.leading


def running(place: Place, cluster: tool.Cluster, *, name: str) -> AbstractAsyncContextManager[Replica]:
    return replica(kubeconfig=cluster.kubeconfig, context=cluster.context, namespace=place.namespace, name=name)


async def test_a_leader_that_is_told_to_stop_hands_over_and_exits_with_0(place: Place, cluster: tool.Cluster) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(place, cluster, name="first"))
        await first.until(leading=True)
        second = await stack.enter_async_context(running(place, cluster, name="second"))
        await second.until(leading=False)
        first.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await first.process.wait() == 0
        await second.until(leading=True, seconds=10)
        assert place.api.get("leases", "regatta", namespace=place.namespace)["spec"]["holderIdentity"] == "second"


async def test_a_leader_that_is_killed_is_replaced_within_the_lease(place: Place, cluster: tool.Cluster) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(place, cluster, name="first"))
        await first.until(leading=True)
        second = await stack.enter_async_context(running(place, cluster, name="second"))
        await second.until(leading=False)
        first.process.kill()
        await second.until(leading=True, seconds=15)


async def test_a_leader_whose_lease_is_taken_stops_working_and_exits_with_1(
    place: Place, cluster: tool.Cluster
) -> None:
    async with running(place, cluster, name="first") as first:
        await first.until(leading=True)
        taken = {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 60}}
        place.api.patch("leases", "regatta", taken, namespace=place.namespace)
        assert await asyncio.wait_for(first.process.wait(), 15) == 1
        assert "taken by somebody" in first.log()


@pytest.fixture
def deep_json() -> Iterator[None]:
    """Let this process, too, read what it sends."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(RECURSION_LIMIT)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep_json")
async def test_a_job_made_to_break_a_parser_is_refused_and_others_go_on(place: Place, cluster: tool.Cluster) -> None:
    def body(name: str, template: str) -> bytes:
        job = json.dumps({**manifest(name, image="localhost/none:1"), "metadata": {"name": name}})
        return job.replace('"workers"', f'"podTemplate": {{"spec": {template}}}, "workers"').encode()

    async def phase_of(name: str) -> str:
        while True:
            job = await place.client.get(TRAINING_JOBS, namespace=place.namespace, name=name)
            if phase := job.get("status", {}).get("phase"):
                return str(phase)
            await asyncio.sleep(0.2)

    async with running(place, cluster, name="first") as first:
        await first.until(leading=True)
        hostile = body("hostile", '{"a":' * DEEP + "1" + "}" * DEEP)
        await place.client.create(TRAINING_JOBS, namespace=place.namespace, body=hostile)
        await place.client.create(TRAINING_JOBS, namespace=place.namespace, body=body("honest", "{}"))
        async with asyncio.timeout(30):
            assert await phase_of("hostile") == "Failed"
            assert await phase_of("honest") in {"Queued", "Starting"}
