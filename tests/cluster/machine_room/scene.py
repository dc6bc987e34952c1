"""Jobs whose pods no scheduler serves, an operator process that looks after them, and an independent witness.

Nothing runs, so a test says itself what becomes of a pod: `fail`, `finish`, or deletion.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regatta.kube.resources import TRAINING_JOBS
from tests.builders import manifest
from tests.cluster.kit import Api
from tests.cluster.machine_room.conftest import Place
from tests.cluster.machine_room.proxy import FaultProxy
from tests.cluster.machine_room.replica import Replica, replica
from tests.cluster.machine_room.witness import Witness, witness

__all__ = ["Scene", "end", "idle_job", "scene"]


def idle_job(name: str, *, workers: int) -> dict[str, Any]:
    """A job whose pods are created and cost nothing more: no scheduler ever looks at them."""
    body = manifest(
        name,
        framework="Custom",
        runtime="Off",
        image="localhost/none:1",
        workers=workers,
        scheduling={"schedulerName": "nobody", "gang": "None"},
    )
    return {**body, "metadata": {"name": name}}


@dataclass(frozen=True, slots=True)
class Scene:
    """What a test of faults works with. All that it asks and does itself goes straight to the API server."""

    place: Place
    faults: FaultProxy
    operator: Replica
    witness: Witness

    async def apply(self, name: str = "job-a", *, workers: int = 8) -> None:
        """Create a job."""
        await self.place.client.create(
            TRAINING_JOBS, namespace=self.place.namespace, body=idle_job(name, workers=workers)
        )

    async def begun(self, name: str = "job-a", *, workers: int = 8, seconds: float = 30.0) -> None:
        """Create a job and return when its first attempt is whole and the status says so."""
        await self.apply(name, workers=workers)
        await self.witness.until_created(name, attempt=1, count=workers, seconds=seconds)
        await self.until(lambda status: status["workers"].get("created") == workers, name, seconds=seconds)

    async def until(
        self, condition: Callable[[dict[str, Any]], bool], name: str = "job-a", *, seconds: float = 30.0
    ) -> dict[str, Any]:
        """The job's status once the condition holds of it."""
        status: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    job = await self.place.client.get(TRAINING_JOBS, namespace=self.place.namespace, name=name)
                    status = job.get("status", {})
                    if status and condition(status):
                        return status
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{name} did not come so far: {status}\n{self.operator.log()}") from None

    async def pods(self) -> list[dict[str, Any]]:
        """Pods that exist now."""
        return await asyncio.to_thread(self.place.api.list, "pods", namespace=self.place.namespace)

    async def until_converged(self, *, seconds: float = 20.0) -> None:
        """Return when the operator knows as many pods as there are."""
        there: int = 0
        known: float = -1
        try:
            async with asyncio.timeout(seconds):
                while known != there:
                    there = len(await self.pods())
                    known = await self.operator.metric("regatta_cache_objects", resource="pods")
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"of {there} pods the operator knows {known}\n{self.operator.log()}") from None

    async def fail(self, *pods: str, code: int = 1) -> None:
        """Have the pods' training containers end with an exit code."""
        await end(self.place.api, self.place.namespace, pods, code=code)

    async def finish(self, *pods: str) -> None:
        """Have the pods' training containers end well."""
        await end(self.place.api, self.place.namespace, pods, code=0)

    async def delete(self, *pods: str) -> None:
        """Delete pods as a person would."""
        for pod in pods:
            await asyncio.to_thread(self.place.api.delete, "pods", pod, namespace=self.place.namespace, grace=0)


async def end(api: Api, namespace: str, pods: Iterable[str], *, code: int) -> None:
    """Have the pods' training containers end with an exit code, as a kubelet would tell it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": now, "finishedAt": now}
    container = {"name": "trainer", "image": "localhost/none:1", "imageID": "", "ready": False, "restartCount": 0}
    status = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [{**container, "state": {"terminated": ended}}],
    }
    for pod in pods:
        await asyncio.to_thread(
            api.request,
            "PATCH",
            api.path("pods", namespace=namespace, name=pod) + "/status",
            body={"status": status},
            content_type="application/merge-patch+json",
        )


@asynccontextmanager
async def scene(place: Place, folder: Path, *, silence: float = 75.0) -> AsyncIterator[Scene]:
    """A leading operator behind a fault proxy; at the end no worker of any attempt may have had two pods."""
    faults = FaultProxy(place.connection)
    await asyncio.to_thread(faults.__enter__)
    try:
        async with (
            witness(place.client, place.namespace) as seen,
            replica(kubeconfig=faults.kubeconfig(folder), namespace=place.namespace, silence=silence) as operator,
        ):
            await operator.until(leading=True)
            yield Scene(place, faults, operator, seen)
            assert seen.twice() == {}
            assert operator.process.returncode is None, operator.log()
    finally:
        await asyncio.to_thread(faults.__exit__, None, None, None)
