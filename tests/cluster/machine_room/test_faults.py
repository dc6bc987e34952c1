"""Whatever the API server does to the operator: nothing is created twice, and what is believed becomes true again.

A real operator process behind a proxy that commits faults, the real API server behind it, and a witness of every pod
that is ever created, who sees the server without the proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.machine_room.conftest import Place
from tests.cluster.machine_room.faults import Delay, Deny, Expire, Fault, LoseAnswer, LoseRequest, Mute, Refuse
from tests.cluster.machine_room.scene import Scene, scene

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("alone")]

SILENCE = 1.5
OUTAGE = 13.0
"""Longer than what a request is retried for by default, shorter than what makes a process not worth keeping."""


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Refuse(409), id="conflict"),
        pytest.param(Refuse(429), id="too many requests"),
        pytest.param(Refuse(500), id="internal error"),
        pytest.param(Refuse(503), id="unavailable"),
        pytest.param(Refuse(504), id="timeout of the server"),
        pytest.param(Deny(504), id="done but answered with a timeout"),
        pytest.param(LoseRequest(), id="request lost"),
        pytest.param(LoseAnswer(), id="done but the answer lost"),
    ],
)
async def test_every_pod_is_made_once_whatever_becomes_of_creates(place: Place, tmp_path: Path, fault: Fault) -> None:
    async with scene(place, tmp_path) as play:
        spoilt = play.faults.inject(fault, verb="create", resource="pods", times=12)
        await play.begun()
        assert spoilt.hits == 12
        assert len(await play.pods()) == 8
        await play.until_converged()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Refuse(409), id="conflict"),
        pytest.param(Refuse(500), id="internal error"),
        pytest.param(Deny(504), id="done but answered with a timeout"),
        pytest.param(LoseAnswer(), id="done but the answer lost"),
    ],
)
async def test_a_failure_is_counted_once_whatever_becomes_of_status_writes(
    place: Place, tmp_path: Path, fault: Fault
) -> None:
    async with scene(place, tmp_path) as play:
        await play.begun()
        spoilt = play.faults.inject(fault, verb="patch", resource="trainingjobs", subresource="status", times=3)
        await play.fail("job-a-1-3")
        await play.witness.until_created("job-a", attempt=2, count=8)
        status = await play.until(lambda status: status["workers"].get("created") == 8)
        assert spoilt.hits == 3
        assert (status["attempt"], status["failureCounts"], status["restartsUsed"]) == (2, {"UserError": 1}, 1)
        await play.until_converged()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Refuse(500), id="internal error"),
        pytest.param(LoseAnswer(), id="done but the answer lost"),
    ],
)
async def test_pods_of_an_old_attempt_go_whatever_becomes_of_deletes(
    place: Place, tmp_path: Path, fault: Fault
) -> None:
    async with scene(place, tmp_path) as play:
        await play.begun()
        spoilt = play.faults.inject(fault, verb="delete", resource="pods", times=10)
        await play.delete("job-a-1-0")
        await play.witness.until_created("job-a", attempt=2, count=8)
        async with asyncio.timeout(30):
            while {pod["metadata"]["labels"]["regatta.dev/attempt"] for pod in await play.pods()} != {"2"}:
                await asyncio.sleep(0.1)
        assert spoilt.hits == 10
        await play.until_converged()


async def test_a_server_that_asks_for_time_is_given_it(place: Place, tmp_path: Path) -> None:
    async with scene(place, tmp_path) as play:
        spoilt = play.faults.inject(Refuse(429, retry_after=2), verb="create", resource="pods", times=1)
        loop = asyncio.get_running_loop()
        await play.apply()
        while not spoilt.hits:
            await asyncio.sleep(0.01)
        refused_at = loop.time()
        await play.witness.until_created("job-a", attempt=1, count=8)
        assert play.witness.of("job-a", attempt=1)[0].at - refused_at >= 1.9


async def test_a_slow_server_is_waited_for_and_not_asked_again(place: Place, tmp_path: Path) -> None:
    async with scene(place, tmp_path) as play:
        slow = play.faults.inject(Delay(1.0))
        await play.begun(workers=20)
        slow.stop()
        delayed = sum(
            count for what, count in play.faults.counts.items() if what.startswith(str(Delay(1.0)) + " on create pods")
        )
        assert delayed == 20
        assert (await play.operator.ask("/readyz"))[0] == 200


async def test_a_lease_whose_answers_are_lost_is_kept(place: Place, tmp_path: Path) -> None:
    async with scene(place, tmp_path) as play:
        spoilt = play.faults.inject(LoseAnswer(), verb="update", resource="leases", times=4)
        await play.begun()
        while spoilt.hits < 4:
            await asyncio.sleep(0.1)
        await play.operator.until(leading=True, seconds=5)
        lease = await asyncio.to_thread(place.api.get, "leases", "regatta", namespace=place.namespace)
        assert lease["spec"]["leaseTransitions"] == 0


async def test_a_watch_that_is_cut_again_and_again_misses_nothing(place: Place, tmp_path: Path) -> None:
    async with scene(place, tmp_path) as play:
        await play.begun()
        for attempt in (1, 2):
            await asyncio.to_thread(play.faults.cut)
            await play.delete(f"job-a-{attempt}-0")
            await asyncio.to_thread(play.faults.cut)
            await play.witness.until_created("job-a", attempt=attempt + 1, count=8)
            await asyncio.to_thread(play.faults.cut)
        status = await play.until(lambda status: status["workers"].get("created") == 8)
        assert status["failureCounts"] == {"PodDeleted": 2}
        await play.until_converged()


async def test_what_was_deleted_before_the_version_expired_is_known(place: Place, tmp_path: Path) -> None:
    async with scene(place, tmp_path) as play:
        await play.begun("job-a")
        await play.begun("job-b", workers=3)
        refused = play.faults.inject(Expire(), verb="watch", resource="pods", times=1)
        await asyncio.to_thread(play.faults.deafen, "pods")
        await play.delete("job-a-1-2", "job-b-1-0", "job-b-1-1", "job-b-1-2")
        assert await play.operator.metric("regatta_cache_objects", resource="pods") == 11
        await asyncio.to_thread(play.faults.expire, "pods")
        await play.witness.until_created("job-a", attempt=2, count=8)
        await play.witness.until_created("job-b", attempt=2, count=3)
        assert refused.hits == 1
        for name in ("job-a", "job-b"):
            status = await play.until(lambda status: status["attempt"] == 2, name)
            assert status["failureCounts"] == {"PodDeleted": 1}
        await play.until_converged()


async def test_a_job_that_was_deleted_before_the_version_expired_is_forgotten(place: Place, tmp_path: Path) -> None:
    async with scene(place, tmp_path, silence=SILENCE) as play:
        await play.begun()
        await asyncio.to_thread(play.faults.deafen, "trainingjobs")
        await asyncio.to_thread(place.api.delete, "trainingjobs", "job-a", namespace=place.namespace)
        await asyncio.to_thread(play.faults.expire, "trainingjobs")
        async with asyncio.timeout(30):
            while await play.operator.metric("regatta_cache_objects", resource="trainingjobs"):
                await asyncio.sleep(0.1)
            while await play.pods():
                await asyncio.sleep(0.1)
        await play.until_converged()
        assert {pod.attempt for pod in play.witness.pods} == {1}


@pytest.mark.parametrize("resource", ["pods", "trainingjobs"])
async def test_a_half_open_watch_is_noticed_and_nothing_it_swallowed_is_lost(
    place: Place, tmp_path: Path, resource: str
) -> None:
    async with scene(place, tmp_path, silence=SILENCE) as play:
        await play.begun()
        await asyncio.to_thread(play.faults.deafen, resource)
        began = asyncio.get_running_loop().time()
        if resource == "pods":
            await play.delete("job-a-1-5")
            done = await play.witness.until_created("job-a", attempt=2, count=8)
        else:
            await play.apply("job-b", workers=2)
            done = await play.witness.until_created("job-b", attempt=1, count=2)
        assert done - began < SILENCE + 5
        await play.until_converged()


async def test_health_turns_bad_when_every_watch_is_deaf_and_recovers(place: Place, tmp_path: Path) -> None:
    """Deaf for 2.4 silences: not ready. For 16: not worth keeping. All the while lists tell what the watch does not."""
    async with scene(place, tmp_path, silence=SILENCE) as play, moving(play):
        await play.begun()
        mute = play.faults.inject(Mute(), verb="watch", resource="pods")
        await asyncio.to_thread(play.faults.deafen, "pods")
        took = await play.operator.until_it_says("/readyz", 503, seconds=20)
        assert took >= 2.4 * SILENCE - 1
        _, report = await play.operator.ask("/readyz")
        assert report["deaf"] == ["pods"]
        assert (await play.operator.ask("/healthz"))[0] == 200
        await play.delete("job-a-1-5")
        await play.witness.until_created("job-a", attempt=2, count=8)
        await play.until_converged()
        assert (await play.operator.ask("/readyz"))[0] == 503
        await play.operator.until_it_says("/healthz", 503, seconds=20 * SILENCE)
        mute.stop()
        for path in ("/readyz", "/healthz"):
            await play.operator.until_it_says(path, 200, seconds=3 * SILENCE + 5)
        await play.until_converged()


async def test_an_outage_makes_it_unready_and_restarts_nobody(place: Place, tmp_path: Path) -> None:
    async with scene(place, tmp_path, silence=SILENCE) as play, moving(play):
        await play.begun()
        # The lease alone goes through: who can't renew it stops, which is another test's matter.
        away = [play.faults.inject(Refuse(503), resource=resource) for resource in ("pods", "trainingjobs", "services")]
        await asyncio.to_thread(play.faults.cut)
        began = asyncio.get_running_loop().time()
        await play.operator.until_it_says("/readyz", 503, seconds=20)
        await play.delete("job-a-1-5")
        while asyncio.get_running_loop().time() - began < OUTAGE:
            assert (await play.operator.ask("/healthz"))[0] == 200
            await asyncio.sleep(0.5)
        for outage in away:
            outage.stop()
        await play.operator.until_it_says("/readyz", 200, seconds=40)
        await play.witness.until_created("job-a", attempt=2, count=8, seconds=60)
        await play.until_converged()


async def test_a_storm_of_faults_ends_with_every_job_right(place: Place, tmp_path: Path) -> None:
    """Three jobs of eight: one succeeds at once, one after a failed pod and a deleted one, one fails for good."""
    async with scene(place, tmp_path, silence=10 * SILENCE) as play:
        storm = play.faults.storm(seed=5, share=0.2)
        async with asyncio.TaskGroup() as group:
            for story in (succeeds(play, "job-a"), recovers(play, "job-b"), fails(play, "job-c")):
                group.create_task(story)
            cutting = asyncio.create_task(cut_now_and_then(play))
        cutting.cancel()
        storm.stop()
        assert storm.hits > 30, play.faults.counts
        await play.until_converged()
        print(f"\n{storm.hits} faults: {dict(play.faults.counts)}")


async def succeeds(play: Scene, name: str) -> None:
    await play.begun(name, seconds=60)
    await play.finish(*(f"{name}-1-{worker}" for worker in range(8)))
    status = await play.until(lambda status: status["phase"] == "Succeeded", name, seconds=60)
    assert status.get("failureCounts", {}) == {}


async def recovers(play: Scene, name: str) -> None:
    await play.begun(name, seconds=60)
    await play.fail(f"{name}-1-3")
    await play.witness.until_created(name, attempt=2, count=8, seconds=60)
    await play.delete(f"{name}-2-4")
    await play.witness.until_created(name, attempt=3, count=8, seconds=60)
    await play.finish(*(f"{name}-3-{worker}" for worker in range(8)))
    status = await play.until(lambda status: status["phase"] == "Succeeded", name, seconds=60)
    assert status["failureCounts"] == {"UserError": 1, "PodDeleted": 1}
    assert (status["attempt"], status["restartsUsed"]) == (3, 1)


async def fails(play: Scene, name: str) -> None:
    await play.begun(name, seconds=60)
    for attempt in range(1, 5):
        await play.witness.until_created(name, attempt=attempt, count=8, seconds=90)
        await play.fail(f"{name}-{attempt}-0")
    status = await play.until(lambda status: status["phase"] == "Failed", name, seconds=60)
    assert (status["attempt"], status["reason"], status["failureCounts"]) == (4, "UserError", {"UserError": 4})


async def cut_now_and_then(play: Scene) -> None:
    while True:
        await asyncio.sleep(1)
        await asyncio.to_thread(play.faults.cut)


@asynccontextmanager
async def moving(play: Scene) -> AsyncIterator[None]:
    """A pod of ours that changes all the time, so that a watch that hears nothing is deaf, and not in a quiet place."""

    async def move() -> None:
        step = 0
        while True:
            step += 1
            patch = {"metadata": {"labels": {"regatta.dev/worker": str(step % 10)}}}
            await asyncio.to_thread(api.patch, "pods", "moving", patch, namespace=play.place.namespace)
            await asyncio.sleep(0.3)

    api = play.place.api
    labels = {"app.kubernetes.io/managed-by": "regatta", "regatta.dev/job": "nobody", "regatta.dev/attempt": "1"}
    body = {
        "metadata": {"name": "moving", "labels": {**labels, "regatta.dev/worker": "0"}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "trainer", "image": "localhost/none:1"}]},
    }
    await asyncio.to_thread(api.create, "pods", body, namespace=play.place.namespace)
    changing = asyncio.create_task(move())
    try:
        yield
        assert not changing.done()
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
