"""From apply to the last pod: the operator against a bare HTTP client, on one API server, with kwok's nodes.

Both sides create the same pods; a watch of its own tells when the last one is there. The bare client has it easier:
no job to hear of, no Service, no status. Runs alternate, so that a slower minute of the machine hits both.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from regatta.api import names
from regatta.kube.client import Client
from regatta.kube.config import Connection
from regatta.kube.resources import PODS, TRAINING_JOBS
from regatta.plan.model import Observed
from regatta.plan.plan import plan
from tests.bench import bare
from tests.bench.operator_process import OperatorProcess
from tests.bench.report import Result
from tests.builders import INSTALLATION, NOW, JobBuilder, job

__all__ = ["Shape", "measure", "sample"]

GOAL = 1.5
KWOK_TAINT = "regatta.dev/kwok"
POLL = 0.2


@dataclass(frozen=True, slots=True)
class Shape:
    """How many jobs of how many workers."""

    jobs: int
    workers: int

    def __str__(self) -> str:
        plural = "s" if self.jobs > 1 else ""
        return f"{self.jobs} job{plural} of {self.workers} workers"

    @property
    def pods(self) -> int:
        """Pods in all."""
        return self.jobs * self.workers


def build(name: str, workers: int) -> JobBuilder:
    """A job for kwok's nodes: its pods are scheduled and become ready, but no container runs."""
    return job(
        name,
        framework="Custom",
        image="localhost/never-pulled:1",
        command=["python", "train.py"],
        workers=workers,
        scheduling={
            "gang": "None",  # the yardstick makes no PodGroups either
            "nodeSelector": {KWOK_TAINT: "true"},
            "tolerations": [{"key": KWOK_TAINT, "operator": "Exists"}],
        },
    )


async def measure(
    connection: Connection, *, shapes: Sequence[Shape], rounds: int, operator: OperatorProcess
) -> list[Result]:
    """Measure each shape, `rounds` times for either side, and give the ratio of the medians."""
    results = []
    async with Client(connection) as client:
        for shape in shapes:
            ours, theirs, cpu = [], [], []
            for _ in range(rounds):
                theirs.append(await _bare(client, connection, shape))
                seconds, burnt = await _operator(client, connection, shape, operator)
                ours.append(seconds)
                cpu.append(burnt)
            mine, yardstick = statistics.median(ours), statistics.median(theirs)
            results += [
                Result(
                    what=f"apply to last pod, {shape} / bare client",
                    value=f"{mine:.2f} s",
                    against=f"{yardstick:.2f} s",
                    ratio=mine / yardstick,
                    goal=GOAL,
                ),
                Result(
                    what=f"  operator CPU per pod, {shape}",
                    value=f"{statistics.median(cpu) / shape.pods * 1e3:.2f} ms",
                ),
            ]
    return results


async def sample(connection: Connection, *, count: int) -> list[dict[str, Any]]:
    """Pods of one job of `count` workers as the API server tells them once they are scheduled."""
    async with Client(connection) as client, _namespace(client, connection) as namespace:
        raw = build("sample", count).raw
        body = {**raw, "metadata": {"name": "sample", "namespace": namespace}}
        async with _arrivals(connection, namespace, count) as arrived:
            await client.create(TRAINING_JOBS, namespace=namespace, body=body)
            await arrived()
        pods: list[dict[str, Any]] = []
        while not pods or any(pod["status"].get("phase") != "Running" for pod in pods):
            await asyncio.sleep(POLL)
            pods = orjson.loads(await client.list_page(PODS, namespace=namespace, params={}))["items"]
        return pods


async def _bare(client: Client, connection: Connection, shape: Shape) -> float:
    bodies: list[dict[str, Any]] = []
    async with _namespace(client, connection) as namespace:
        for number in range(shape.jobs):
            decision = plan(build(f"bare-{number}", shape.workers).obj(), Observed(installation=INSTALLATION), NOW)
            for create in decision.creates:
                if create.kind == "Pod":
                    metadata = {**create.body["metadata"], "namespace": namespace}
                    # Nobody owns them, and the operator must not take them for its own.
                    del metadata["ownerReferences"]
                    metadata["labels"] = {
                        key: value for key, value in metadata["labels"].items() if key != names.LABEL_MANAGED_BY
                    }
                    bodies.append({**create.body, "metadata": metadata})
        async with _arrivals(connection, namespace, shape.pods) as arrived:
            began = time.perf_counter()
            await bare.create_pods(connection, namespace, bodies)
            return await arrived() - began


async def _operator(
    client: Client, connection: Connection, shape: Shape, operator: OperatorProcess
) -> tuple[float, float]:
    """Seconds from the first apply to the last pod, and the CPU seconds the operator took until all was quiet."""
    async with _namespace(client, connection) as namespace:
        bodies = []
        for number in range(shape.jobs):
            raw = build(f"job-{number}", shape.workers).raw
            bodies.append({**raw, "metadata": {"name": f"job-{number}", "namespace": namespace}})
        async with _arrivals(connection, namespace, shape.pods) as arrived:
            burnt = operator.cpu_seconds()
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for body in bodies:
                    group.create_task(client.create(TRAINING_JOBS, namespace=namespace, body=body))
            seconds = await arrived() - began
            burnt = operator.cpu_seconds() - burnt
        return seconds, burnt


@asynccontextmanager
async def _namespace(client: Client, connection: Connection) -> AsyncIterator[str]:
    """A namespace that is emptied, and seen to be empty, before the next run begins."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    async with _session(connection) as session:
        async with session.post("/api/v1/namespaces", json={"metadata": {"name": name}}) as response:
            response.raise_for_status()
        try:
            yield name
        finally:
            for resource in (TRAINING_JOBS, PODS):
                path = resource.path(namespace=name)
                async with session.delete(path, params={"gracePeriodSeconds": "0"}) as response:
                    response.raise_for_status()
            await _emptied(client, name)
            async with session.delete(f"/api/v1/namespaces/{name}") as response:
                response.raise_for_status()


async def _emptied(client: Client, namespace: str) -> None:
    """Return when the namespace has no pod left."""
    while orjson.loads(await client.list_page(PODS, namespace=namespace, params={"limit": "1"}))["items"]:
        await asyncio.sleep(POLL)


@asynccontextmanager
async def _arrivals(connection: Connection, namespace: str, count: int) -> AsyncIterator[Any]:
    """Yield an awaitable function that gives the moment at which the watch showed the last of `count` pods."""
    watching = asyncio.Event()

    async def follow(session: aiohttp.ClientSession) -> float:
        seen: set[str] = set()
        params = {"watch": "true"}
        while True:
            # The server hangs up on a reader that falls behind a burst; it goes on where it was.
            async with session.get(PODS.path(namespace=namespace), params=params, headers=METADATA_ONLY) as response:
                response.raise_for_status()
                watching.set()
                async for line in response.content:
                    event = orjson.loads(line)
                    metadata = event["object"]["metadata"]
                    params["resourceVersion"] = metadata["resourceVersion"]
                    if event["type"] == "ADDED":
                        seen.add(metadata["name"])
                        if len(seen) == count:
                            return time.perf_counter()

    async def arrived() -> float:
        return await asyncio.wait_for(asyncio.shield(task), timeout=180)

    async with _session(connection) as session:
        task = asyncio.create_task(follow(session))
        await watching.wait()
        try:
            yield arrived
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}


def _session(connection: Connection) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        base_url=connection.server,
        connector=aiohttp.TCPConnector(ssl=connection.ssl_context or True),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=2**20,
    )
