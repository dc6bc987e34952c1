"""The real cluster with the chart installed in it, once a session; a namespace of its own for every test."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.kit import Api, Installation, Playground, release
from tests.cluster.tool import api as tool

# A leader that dies is replaced this quickly here, so that tests which kill it do not wait for the default 15 s.
LEASE = {"leaseSeconds": 4, "renewSeconds": 2.5, "retrySeconds": 0.5}


@pytest.fixture(scope="session")
def cluster() -> tool.Cluster:
    """A Kubernetes that answers."""
    return tool.ensure_cluster()


@pytest.fixture(scope="session")
def installation(cluster: tool.Cluster) -> Iterator[Installation]:
    """The operator of this work tree, installed by its chart."""
    images = tool.ensure_images(cluster)
    release.install(cluster, images, {"leaderElection": LEASE})
    api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
    yield Installation(
        api=api,
        namespace=release.NAMESPACE,
        release=release.RELEASE,
        pytorch_image=images["pytorch"].reference,
        images={name: image.reference for name, image in images.items()},
    )
    api.close()


@pytest.fixture
def playground(installation: Installation, request: pytest.FixtureRequest) -> Iterator[Playground]:
    """An empty namespace under the restricted Pod Security Standard, which the default images can live with."""
    with namespace(installation, request.node.name, standard="restricted") as place:
        yield place


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of this machine that pods may write to."""
    folder = Path(tempfile.mkdtemp(prefix="regatta-shared-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def claim(playground: Playground, shared: Path) -> Iterator[str]:
    """A claim on that folder, which all nodes, being on this machine, share."""
    with claimed(playground, "shared", shared):
        yield "shared"


@pytest.fixture
def data(playground: Playground) -> Iterator[Path]:
    """A folder of this machine that the namespace's claim `data` stands for."""
    folder = Path(tempfile.mkdtemp(prefix="regatta-data-"))
    folder.chmod(0o755)
    with claimed(playground, "data", folder):
        yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def claimed(place: Playground, name: str, folder: Path) -> Iterator[None]:
    """A claim of the namespace on a folder of this machine, while the context is open."""
    size, modes, volume_name = {"storage": "1Gi"}, ["ReadWriteMany"], f"{place.namespace}-{name}"
    volume = {
        "capacity": size,
        "accessModes": modes,
        "hostPath": {"path": str(folder)},
        "storageClassName": "",
        "claimRef": {"name": name, "namespace": place.namespace},
    }
    wish = {"accessModes": modes, "resources": {"requests": size}, "storageClassName": "", "volumeName": volume_name}
    place.api.create("persistentvolumes", {"metadata": {"name": volume_name}, "spec": volume})
    place.api.create("persistentvolumeclaims", {"metadata": {"name": name}, "spec": wish}, namespace=place.namespace)
    yield
    place.api.delete("persistentvolumes", volume_name)


@pytest.fixture(scope="module")
def make_place(installation: Installation) -> Iterator[Callable[[str], Playground]]:
    """Make further namespaces that live as long as the module's tests, for jobs that run beside one another."""
    with contextlib.ExitStack() as stack:
        yield lambda title: stack.enter_context(namespace(installation, title, standard="baseline"))


@contextlib.contextmanager
def namespace(installation: Installation, title: str, *, standard: str) -> Iterator[Playground]:
    """Make a namespace named after `title` under a Pod Security Standard, and remove it with all that is in it."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower().removeprefix("test_"))[:40].strip("-")
    name = f"{words}-{uuid.uuid4().hex[:6]}"
    api = installation.api
    labels = {"pod-security.kubernetes.io/enforce": standard}
    api.create("namespaces", {"metadata": {"name": name, "labels": labels}})
    yield Playground(installation, name)
    # Deleting the jobs first leaves nothing for the namespace controller to wait for.
    for job in api.list("trainingjobs", namespace=name):
        api.delete("trainingjobs", job["metadata"]["name"], namespace=name)
    api.delete("namespaces", name)
