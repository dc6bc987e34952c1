"""A namespace, a client, and objects to put there."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regatta.kube import config
from regatta.kube.client import Client
from tests.cluster.kit import Api, release
from tests.cluster.tool import api as tool

CRDS = Path(__file__).resolve().parents[3] / "crds"
OWNER = "owner"


@dataclass
class Place:
    """A namespace of the cluster, a client to test, and an independent one to check with."""

    client: Client
    api: Api
    connection: config.Connection
    namespace: str
    owner: str
    """uid of an object that may own pods: what nobody living owns is garbage within moments."""

    def make_owner(self, name: str) -> str:
        return make_owner(self.api, self.namespace, name)


def make_owner(api: Api, namespace: str, name: str) -> str:
    return str(api.create("configmaps", {"metadata": {"name": name}}, namespace=namespace)["metadata"]["uid"])


@pytest.fixture
def connection(cluster: tool.Cluster) -> config.Connection:
    return config.load_kubeconfig(path=str(cluster.kubeconfig), context=cluster.context)


@pytest.fixture(scope="module")
def api(cluster: tool.Cluster) -> Iterator[Api]:
    command = [*cluster.kubectl(), "apply", "--server-side", "--force-conflicts", "--filename", str(CRDS)]
    subprocess.run(command, check=True, capture_output=True)
    made = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(cluster: tool.Cluster, api: Api) -> Iterator[None]:
    """No operator but those that the module's tests run, and the kind of object that they serve."""
    with release.paused(cluster):
        yield


@pytest.fixture
async def place(connection: config.Connection, api: Api) -> AsyncIterator[Place]:
    name = f"machine-room-{uuid.uuid4().hex[:8]}"
    api.create("namespaces", {"metadata": {"name": name}})
    async with Client(connection) as client:
        yield Place(client, api, connection, name, make_owner(api, name, OWNER))
    api.delete("namespaces", name)


def pod(
    name: str, *, job: str = "job-a", attempt: str = "1", owner: str = "", owner_name: str = OWNER, **metadata: Any
) -> dict[str, Any]:
    """A pod that carries our labels and is never scheduled."""
    owners = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner_name,
            "uid": owner,
            "controller": True,
        }
    ]
    labels = {
        "app.kubernetes.io/managed-by": "regatta",
        "regatta.dev/job": job,
        "regatta.dev/attempt": attempt,
        "regatta.dev/worker": "0",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, **({"ownerReferences": owners} if owner else {}), **metadata},
        "spec": {
            "schedulerName": "nobody",
            "containers": [{"name": "trainer", "image": "localhost/none:1", "imagePullPolicy": "Never"}],
        },
    }
