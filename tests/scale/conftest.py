"""A cluster with fake nodes, on which no operator runs but a test's own."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regatta.kube import config
from regatta.kube.client import Client
from regatta.kube.resources import TRAINING_JOBS
from tests.builders import manifest
from tests.cluster.kit import Api, release, wait_for
from tests.cluster.tool import api as tool

CRDS = Path(__file__).resolve().parents[2] / "crds"
NODES = 20
KWOK = "regatta.dev/kwok"
DELETIONS = 10


@dataclass(frozen=True, slots=True)
class Fleet:
    """A namespace of a cluster whose nodes take any number of pods."""

    cluster: tool.Cluster
    connection: config.Connection
    client: Client
    api: Api
    namespace: str


def fleet_job(name: str, *, workers: int) -> dict[str, Any]:
    """A job for fake nodes: its pods run at once, and no container does."""
    body = manifest(
        name,
        framework="Custom",
        runtime="Off",
        image="localhost/never-pulled:1",
        workers=workers,
        scheduling={"nodeSelector": {KWOK: "true"}, "tolerations": [{"key": KWOK, "operator": "Exists"}]},
    )
    return {**body, "metadata": {"name": name}}


@pytest.fixture(scope="package")
def cluster() -> Iterator[tool.Cluster]:
    """A Kubernetes that answers, with fake nodes, our kind, and no operator."""
    found = tool.ensure_cluster()
    command = [*found.kubectl(), "apply", "--server-side", "--force-conflicts", "--filename", str(CRDS)]
    subprocess.run(command, check=True, capture_output=True)
    with release.paused(found):
        tool.kwok_up(nodes=NODES, target=found)
        try:
            yield found
        finally:
            tool.kwok_down(found)


@pytest.fixture
async def fleet(cluster: tool.Cluster) -> AsyncIterator[Fleet]:
    """An empty namespace."""
    connection = config.load_kubeconfig(path=str(cluster.kubeconfig), context=cluster.context)
    api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
    name = f"scale-{uuid.uuid4().hex[:8]}"
    api.create("namespaces", {"metadata": {"name": name}})
    async with Client(connection) as client:
        yield Fleet(cluster, connection, client, api, name)
    # All at once, while the nodes still are there, and end their pods. One request has a minute, which is not enough.
    jobs = f"{TRAINING_JOBS.api_root}/namespaces/{name}/{TRAINING_JOBS.plural}"
    for path in (jobs, f"/api/v1/namespaces/{name}/pods"):
        command = [*cluster.kubectl(), "delete", "--raw", path]
        for _ in range(DELETIONS):
            done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
            if done.returncode == 0:
                break
        assert done.returncode == 0, done.stderr
    wait_for("the pods to be gone", lambda: not api.list("pods", namespace=name), timeout=120)
    api.delete("namespaces", name)
    api.close()
