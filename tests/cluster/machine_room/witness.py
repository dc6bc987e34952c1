"""Sees every pod that is ever created in a namespace, by a watch of its own, straight at the API server."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from regatta.api import names
from regatta.kube.client import Client
from regatta.kube.errors import error_from_status
from regatta.kube.resources import PODS

__all__ = ["Sight", "Witness", "witness"]


@dataclass(frozen=True, slots=True)
class Sight:
    """A pod as it first appeared."""

    name: str
    uid: str
    job: str
    attempt: int
    worker: int
    at: float
    """Time of the event loop at which the watch told it."""


class Witness:
    """What was seen so far."""

    def __init__(self) -> None:
        self.pods: list[Sight] = []
        self.failed_at: dict[str, float] = {}
        """When a pod of that name was first seen Failed."""
        self._news = asyncio.Event()

    def of(self, job: str, *, attempt: int) -> list[Sight]:
        """Pods of one attempt, in the order of their creation."""
        return [pod for pod in self.pods if (pod.job, pod.attempt) == (job, attempt)]

    def twice(self) -> dict[tuple[str, int, int], set[str]]:
        """Workers of an attempt that had more than one pod, with the uids: must be empty."""
        uids = defaultdict(set)
        for pod in self.pods:
            uids[pod.job, pod.attempt, pod.worker].add(pod.uid)
        return {which: found for which, found in uids.items() if len(found) > 1}

    async def until(self, condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Return when the condition holds; it is looked at whenever something was seen."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_created(self, job: str, *, attempt: int, count: int, seconds: float = 30.0) -> float:
        """Return when so many pods of the attempt have appeared; the time of the last."""
        await self.until(lambda: len(self.of(job, attempt=attempt)) >= count, seconds=seconds)
        return self.of(job, attempt=attempt)[count - 1].at

    def see(self, event: dict[str, Any]) -> None:
        """Take a watch event."""
        now = asyncio.get_running_loop().time()
        metadata = event["object"]["metadata"]
        labels = metadata.get("labels", {})
        if event["type"] == "ADDED" and labels.get(names.LABEL_JOB):
            self.pods.append(
                Sight(
                    metadata["name"],
                    metadata["uid"],
                    labels[names.LABEL_JOB],
                    int(labels[names.LABEL_ATTEMPT]),
                    int(labels[names.LABEL_WORKER]),
                    now,
                )
            )
        if event["object"].get("status", {}).get("phase") == "Failed":
            self.failed_at.setdefault(metadata["name"], now)
        self._news.set()


@asynccontextmanager
async def witness(client: Client, namespace: str) -> AsyncIterator[Witness]:
    """Watch while the context is open. A watch that breaks for good fails the test: the record would have a gap."""
    seen = Witness()
    version = json.loads(await client.list_page(PODS, namespace=namespace, params={"limit": "1"}))["metadata"]
    params = {"resourceVersion": version["resourceVersion"]}

    async def follow() -> None:
        while True:
            # The server ends a watch after some minutes, or when its reader falls behind; it goes on where it was.
            async for lines in client.watch(PODS, namespace=namespace, params=params, silence=600):
                for line in lines:
                    event = json.loads(line) if line else {}
                    if event.get("type") == "ERROR":
                        raise error_from_status(event["object"])
                    if event:
                        params["resourceVersion"] = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            seen.see(event)

    following = asyncio.create_task(follow())
    try:
        yield seen
        assert not following.done(), following.exception()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
