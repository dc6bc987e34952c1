"""Bringing the cluster up, whatever state it is in, and telling what state that is."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tests.cluster.tool import build, controlplane, debian, images, imagestore, limits, network, node, state, teardown
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.kubeapi import KubeApi, is_ready
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.processes import Component, Processes
from tests.cluster.tool.progress import Progress

MOST_NODES: Final = 8


@dataclass(frozen=True, slots=True)
class Health:
    """What runs and what doesn't: component name to pid (None when it is dead), node name to readiness."""

    components: dict[str, int | None]
    nodes: dict[str, bool]
    api: bool

    @property
    def good(self) -> bool:
        """Tell whether everything that should run does."""
        return self.api and all(self.components.values()) and all(self.nodes.values())


def up(paths: Paths, *, nodes: int = 2, gpus: int = 0, progress: Progress | None = None) -> tuple[str, ...]:
    """Bring up a cluster of at least `nodes` nodes, or mend the one there is; return the nodes' names."""
    progress = progress or Progress()
    if not 0 <= nodes <= MOST_NODES:
        raise ToolError(
            f"this tool runs 0 to {MOST_NODES} nodes, not {nodes}; `kwok up` gives fake ones by the hundred"
        )
    with state.lock(paths.lock):
        known = state.read(paths)
        count = max(nodes, known.nodes if known else 0)
        gpus = gpus or (known.gpus if known else 0)
        if known and (known.nodes, known.gpus) == (count, gpus) and health(paths).good:
            plural = "" if count == 1 else "s"
            progress.say(f"the cluster runs: {count} node{plural}, Kubernetes {build.KUBERNETES}; nothing to do")
            return known.names
        if os.geteuid() != 0:
            raise ToolError(
                "a cluster of our own needs root (network namespaces, mounts, cgroups).\n"
                "Run this as root, or set REGATTA_KUBECONFIG to the kubeconfig of a cluster you have."
            )
        debian.ensure(debian.CLUSTER, progress=progress)
        build.ensure(paths, build.CLUSTER, progress=progress)
        if not known and teardown.leftovers(paths):
            progress.say("removing what an earlier cluster, or another version of this tool, left")
            teardown.remove(paths)
        known = state.write(paths, nodes=count, gpus=gpus)
        limits.lift(paths)
        with state.lock(paths.cache / "store.lock"):
            imagestore.refresh(paths, images.built(paths), progress=progress)
        _start(paths, count=count, gpus=gpus, progress=progress)
    return known.names


def health(paths: Paths) -> Health:
    """Look at everything once."""
    known = state.read(paths)
    running, api = state.processes(paths), KubeApi(paths)
    if known is None:
        return Health(components={}, nodes={}, api=False)
    seen = {found["metadata"]["name"]: is_ready(found) for found in api.nodes()}
    return Health(
        components={component.name: running.pid(component.name) for component in _components(paths, known.nodes)},
        nodes={name: seen.get(name, False) for name in known.names},
        api=api.ready(),
    )


def _components(paths: Paths, count: int) -> list[Component]:
    made = [
        controlplane.etcd(paths),
        controlplane.api_server(paths),
        controlplane.controller_manager(paths),
        controlplane.scheduler(paths),
        controlplane.dns(paths),
    ]
    for index in range(1, count + 1):
        made += [node.containerd(paths, index), node.kubelet(paths, index), node.kube_proxy(paths, index)]
    return made


def _start(paths: Paths, *, count: int, gpus: int, progress: Progress) -> None:
    running = state.processes(paths)
    indices = range(1, count + 1)
    progress.plan(["start the control plane", *(["start the nodes"] if count else [])])
    with progress.step("start the control plane"):
        network.ensure_bridge(paths.addresses)
        controlplane.issue_certificates(paths)
        running.start(controlplane.etcd(paths))
        api_server = controlplane.api_server(paths)
        running.start(api_server)
        # The nodes' files are laid out while the API server starts.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda index: _lay_out(paths, index, count=count), indices))
        for component in (controlplane.etcd(paths), api_server):
            running.wait(component)
        rest = [controlplane.controller_manager(paths), controlplane.scheduler(paths), controlplane.dns(paths)]
        _start_all(running, rest)
    if not count:
        return
    with progress.step("start the nodes"):
        runtimes = [node.containerd(paths, index) for index in indices]
        _start_all(running, runtimes)
        for index in indices:
            imagestore.ensure_pause(paths, node.name(index))
        agents = [make(paths, index) for index in indices for make in (node.kubelet, node.kube_proxy)]
        _start_all(running, agents)
        if gpus:
            api = KubeApi(paths)
            for index in indices:
                if not api.give_gpus(node.name(index), gpus):
                    raise ToolError(f"the API server refused to give {node.name(index)} {gpus} nvidia.com/gpu")


def _lay_out(paths: Paths, index: int, *, count: int) -> None:
    others = [other for other in range(1, count + 1) if other != index]
    imagestore.seed(paths, node.name(index))
    node.prepare(paths, index, others=others)


def _start_all(running: Processes, components: Sequence[Component]) -> None:
    """Start components together, then wait for each; one that died meanwhile is started again by this very call."""
    for component in components:
        running.start(component)
    for component in components:
        running.wait(component)
