"""What tests, benchmarks and the demo may ask of the test cluster; everything else in this package is private to it.

    from tests.cluster.tool import api

    cluster = api.ensure_cluster()            # a running Kubernetes: ours, or the user's own (REGATTA_KUBECONFIG)
    images = api.ensure_images(cluster)       # built from this repo's Dockerfiles, present on every node
    images["operator"].reference              # what a pod spec or a chart value names
    images["operator"].key                    # changes with the content: roll a Deployment with it
    api.kubectl_path(), api.helm_path()       # the programs, built when missing
    api.promtool_path()                       # Prometheus' checker of rules and metrics
    api.kill_node("node2"); api.revive_node("node2")   # a power cut, and its end
    api.kwok_up(nodes=100); api.kwok_down()   # fake nodes, label and taint `regatta.dev/kwok`
    api.leftovers()                           # what a torn-down cluster left behind: must be empty

All of them are safe to call again: what is there and healthy is kept, and the call returns within a second or two.
They print their progress to standard error and raise `ToolError`, whose text says what failed and what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.tool import build, cluster, controlplane, external, images, imagestore, kwok, outage, teardown
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.images import Image
from tests.cluster.tool.paths import Paths

__all__ = [
    "NODE_GRACE",
    "Cluster",
    "Image",
    "ToolError",
    "audit_log",
    "ensure_cluster",
    "ensure_images",
    "helm3_path",
    "helm_docs_path",
    "helm_path",
    "kill_node",
    "kubectl_path",
    "kwok_down",
    "kwok_up",
    "leftovers",
    "promtool_path",
    "rename_images",
    "revive_node",
    "tear_down",
]

NODE_GRACE = controlplane.NODE_GRACE
"""Seconds of silence after which our own cluster calls a node lost."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kubernetes that answers; `external` means that it is the user's own and nothing of it is ours to break."""

    kubeconfig: Path
    nodes: tuple[str, ...]
    external: bool
    context: str | None = None

    def kubectl(self) -> list[str]:
        """Return the start of a kubectl command line that talks to this cluster."""
        context = ["--context", self.context] if self.context else []
        return [str(kubectl_path()), "--kubeconfig", str(self.kubeconfig), *context]


def ensure_cluster(*, nodes: int = 2, gpus: int = 0, context: str | None = None) -> Cluster:
    """Return a running cluster with at least `nodes` nodes, started where it is not running.

    With REGATTA_KUBECONFIG set, or a `context`, that cluster is checked and used, and nothing is built.
    `gpus` gives every node so many `nvidia.com/gpu` (for scheduling: there is no device behind them).
    """
    chosen = external.chosen(context=context)
    if chosen is not None:
        found = external.check(chosen)
        return Cluster(kubeconfig=found.kubeconfig, nodes=found.nodes, external=True, context=found.context)
    names = cluster.up(Paths.default(), nodes=nodes, gpus=gpus)
    return Cluster(kubeconfig=Paths.default().kubeconfig, nodes=names, external=False)


def ensure_images(target: Cluster, names: Sequence[str] = images.NAMES) -> Mapping[str, Image]:
    """Return the named images, built where their inputs changed and present on every node of `target`.

    On a user's own cluster they are loaded with the tool its context belongs to (kind, k3d, minikube); elsewhere the
    references come from REGATTA_IMAGE_REGISTRY, and the user has pushed them.
    """
    if target.external:
        return external.provide_images(external.Chosen(target.kubeconfig, target.context), names)
    return images.ensure(Paths.default(), names)


def kubectl_path() -> Path:
    """Return kubectl, built when missing."""
    return build.program(Paths.default(), "kubectl")


def helm_path() -> Path:
    """Return helm, built when missing."""
    return build.program(Paths.default(), "helm")


def promtool_path() -> Path:
    """Return promtool, built when missing."""
    return build.program(Paths.default(), "promtool")


def helm3_path() -> Path:
    """Return Helm 3, which many still install with, built when missing."""
    return build.program(Paths.default(), "helm3")


def helm_docs_path() -> Path:
    """Return helm-docs, built when missing."""
    return build.program(Paths.default(), "helm-docs")


def audit_log() -> Path:
    """Return the file in which our own cluster's API server writes down the operator's requests, within a second."""
    return controlplane.audit_log(Paths.default())


def rename_images(registry: str, found: Mapping[str, Image]) -> dict[str, str]:
    """Give these images a further name each, REGISTRY/regatta/NAME:TAG, on the nodes of our own cluster; return them.

    As if they had been copied into that registry, and pulled from there.
    """
    return imagestore.rename(Paths.default(), registry, {name: image.reference for name, image in found.items()})


def kill_node(name: str, *, unplugged: bool = True) -> None:
    """Kill a node of our own cluster with all that runs on it, as a power cut does; its Node object stays.

    Not unplugged, the others' connections to it are closed at once, as when only its processes die.
    """
    outage.kill(Paths.default(), name, unplugged=unplugged)


def revive_node(name: str) -> None:
    """Start a killed node again; return when it is ready and takes pods."""
    outage.revive(Paths.default(), name)


def kwok_up(*, nodes: int, target: Cluster | None = None) -> tuple[str, ...]:
    """Return the names of `nodes` fake nodes whose pods become Running at once, none of them a container."""
    return kwok.up(Paths.default(), nodes=nodes, kubeconfig=_external_kubeconfig(target))


def kwok_down(target: Cluster | None = None) -> None:
    """Remove the fake nodes and what runs on them."""
    kwok.down(Paths.default(), kubeconfig=_external_kubeconfig(target))


def _external_kubeconfig(target: Cluster | None) -> Path | None:
    if target is None or not target.external:
        return None
    return external.minified(external.Chosen(target.kubeconfig, target.context))


def tear_down() -> None:
    """End the cluster and remove every trace of it; a user's own cluster is not touched."""
    teardown.down(Paths.default())


def leftovers() -> tuple[str, ...]:
    """Return what is left of a cluster: processes, mounts, namespaces, links, routes, cgroups, files; one line each."""
    return teardown.leftovers(Paths.default())
