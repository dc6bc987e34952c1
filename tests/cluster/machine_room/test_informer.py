"""The informer's store equals the server's pods, whatever happens to the line between them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from regatta.kube.client import Client
from regatta.kube.informer import PodInformer
from regatta.kube.records import pod_facts
from regatta.kube.resources import PODS
from regatta.kube.retry import Backoff
from regatta.kube.store import PodStore
from tests.cluster.machine_room.conftest import Place, pod
from tests.cluster.machine_room.line import Line

pytestmark = pytest.mark.cluster

SILENCE = 2.0


class Following:
    """An informer at work, its store, and the server's truth to compare with."""

    def __init__(self, place: Place, store: PodStore, informer: PodInformer, changed: asyncio.Event) -> None:
        self.place = place
        self.store = store
        self.informer = informer
        self._changed = changed

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_true_to_the_server(self) -> None:
        raw = await asyncio.to_thread(self.place.api.list, "pods", namespace=self.place.namespace)
        truth = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in raw}
        await self.until(lambda: self.known() == truth)

    def known(self) -> dict[str, str]:
        return {known.name: known.resource_version for job in self.store.jobs() for known in self.store.pods(job)}


@asynccontextmanager
async def following(place: Place, client: Client, *, silence: float = 75.0) -> AsyncIterator[Following]:
    changed = asyncio.Event()
    store = PodStore(scopes=(place.namespace,), changed=lambda _: changed.set())
    informer = PodInformer(
        client, store, scopes=(place.namespace,), silence=silence, backoff=Backoff(first=0.05, cap=0.2)
    )
    running = asyncio.create_task(informer.run())
    try:
        await informer.wait_synced()
        yield Following(place, store, informer, changed)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def churn(place: Place, *, steps: int, seed: int) -> None:
    """Create, label and delete pods at random, a few of them under names that were used before."""
    choice = random.Random(seed)
    there: set[str] = set()
    for step in range(steps):
        name = f"pod-{choice.randrange(6)}"
        if name not in there:
            place.api.create("pods", pod(name), namespace=place.namespace)
            there.add(name)
        elif choice.random() < 0.5:
            patch = {"metadata": {"labels": {"regatta.dev/attempt": str(step)}}}
            place.api.patch("pods", name, patch, namespace=place.namespace)
        else:
            place.api.delete("pods", name, namespace=place.namespace, grace=0)
            there.discard(name)


async def test_what_happens_on_the_server_is_known(place: Place) -> None:
    place.api.create("pods", pod("before"), namespace=place.namespace)
    async with following(place, place.client) as follow:
        assert set(follow.known()) == {"before"}
        await asyncio.to_thread(churn, place, steps=30, seed=1)
        await follow.until_true_to_the_server()


async def test_pods_of_others_are_not_seen(place: Place) -> None:
    foreign = pod("foreign")
    foreign["metadata"]["labels"] = {"regatta.dev/job": "job-a"}
    place.api.create("pods", foreign, namespace=place.namespace)
    async with following(place, place.client) as follow:
        assert follow.known() == {}


async def test_a_pod_that_loses_our_label_is_gone_for_us(place: Place) -> None:
    place.api.create("pods", pod("a"), namespace=place.namespace)
    async with following(place, place.client) as follow:
        patch = {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}
        await asyncio.to_thread(place.api.patch, "pods", "a", patch, namespace=place.namespace)
        await follow.until(lambda: not follow.known())


async def test_a_line_that_is_cut_again_and_again_loses_nothing(place: Place) -> None:
    async with Line(place.connection) as line, Client(line.connection) as client:
        async with following(place, client) as follow:
            for seed in range(4):
                churning = asyncio.create_task(asyncio.to_thread(churn, place, steps=12, seed=seed))
                line.cut()
                await churning
                for left in await asyncio.to_thread(place.api.list, "pods", namespace=place.namespace):
                    await asyncio.to_thread(
                        place.api.delete, "pods", left["metadata"]["name"], namespace=place.namespace, grace=0
                    )
            await follow.until_true_to_the_server()
        assert line.opened >= 4


@pytest.mark.pitfall(27)
async def test_a_line_that_goes_dead_is_noticed_and_nothing_is_lost(place: Place) -> None:
    place.api.create("pods", pod("old"), namespace=place.namespace)
    async with (
        Line(place.connection) as line,
        Client(line.connection) as client,
        following(place, client, silence=SILENCE) as follow,
    ):
        line.go_dead()
        await asyncio.to_thread(place.api.create, "pods", pod("new"), namespace=place.namespace)
        await asyncio.to_thread(place.api.delete, "pods", "old", namespace=place.namespace, grace=0)
        began = asyncio.get_running_loop().time()
        await follow.until(lambda: set(follow.known()) == {"new"})
        assert asyncio.get_running_loop().time() - began < SILENCE + 3
        (pulse,) = follow.informer.pulses
        assert pulse.silent_seconds < SILENCE


async def test_the_answer_to_a_create_says_what_the_watch_will_say(place: Place) -> None:
    async with following(place, place.client) as follow:
        answer = await place.client.create(PODS, namespace=place.namespace, body=pod("a"), metadata_only=True)
        created = pod_facts(answer)
        await follow.until(lambda: "a" in follow.known())
        assert follow.store.get(place.namespace, "a") == created


async def test_a_refresh_is_never_older_than_its_call(place: Place) -> None:
    async with following(place, place.client) as follow:
        for number in range(10):
            await asyncio.to_thread(place.api.create, "pods", pod(f"a-{number}"), namespace=place.namespace)
            await follow.informer.refresh()
            assert f"a-{number}" in follow.known()
            await asyncio.to_thread(place.api.delete, "pods", f"a-{number}", namespace=place.namespace, grace=0)
            await follow.informer.refresh()
            assert f"a-{number}" not in follow.known()
