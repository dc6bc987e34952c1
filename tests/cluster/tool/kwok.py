"""Fake nodes by the hundred: real objects on the real API server, whose pods kwok declares Running at once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.cluster.tool import build, shell, state
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.processes import Component, Processes
from tests.cluster.tool.progress import Progress

LABEL: Final = "regatta.dev/kwok"
MOST: Final = 5000
_STAGES: Final = Path(__file__).with_name("kwok_stages.yaml")
# kubectl sends 300 requests at once, and 50 a second after them.
_BATCH: Final = 200
_CREATORS: Final = 4
# Far from the addresses of real pods: nobody can reach these.
_ADDRESSES: Final = "10.128.0.0/10"


def up(
    paths: Paths, *, nodes: int, gpus: int = 8, kubeconfig: Path | None = None, progress: Progress | None = None
) -> tuple[str, ...]:
    """Have exactly so many fake nodes, ready, each with `gpus` nvidia.com/gpu; return their names."""
    if not 1 <= nodes <= MOST:
        raise ToolError(f"1 to {MOST} fake nodes, not {nodes}")
    progress = progress or Progress()
    kubectl = _kubectl(paths, kubeconfig)
    program = build.program(paths, "kwok", progress=progress)
    with state.lock(paths.cache / "kwok.lock"):
        names = tuple(f"kwok-{index:04d}" for index in range(1, nodes + 1))
        with progress.step(f"have {nodes} fake nodes"):
            there = _there(kubectl)
            surplus = sorted(there - set(names))
            if surplus:
                shell.run([*kubectl, "delete", "node", "--wait=false", *surplus])
            missing = [_node(name, gpus=gpus) for name in names if name not in there]
            with ThreadPoolExecutor(_CREATORS) as pool:
                list(pool.map(partial(_create, kubectl), batched(missing, size=_BATCH)))
            component = _component(paths, program=program, kubectl=kubectl, nodes=nodes, kubeconfig=kubeconfig)
            running = _processes(paths, kubeconfig)
            running.start(component)
            running.wait(component)
    return names


def down(paths: Paths, *, kubeconfig: Path | None = None, progress: Progress | None = None) -> None:
    """Remove the fake nodes, the pods on them first: without kwok nobody would end them."""
    progress = progress or Progress()
    with state.lock(paths.cache / "kwok.lock"), progress.step("remove the fake nodes"):
        kubectl = _kubectl(paths, kubeconfig)
        there = _there(kubectl)
        running = _processes(paths, kubeconfig)
        running.stop(["kwok"])
        if there:
            listed = json.loads(shell.run([*kubectl, "get", "pods", "--all-namespaces", "-o", "json"]))["items"]
            by_namespace: dict[str, list[str]] = {}
            for pod in listed:
                if pod["spec"].get("nodeName") in there:
                    by_namespace.setdefault(pod["metadata"]["namespace"], []).append(pod["metadata"]["name"])
            for namespace, pods in by_namespace.items():
                now = ("--force", "--grace-period=0", "--ignore-not-found", "--wait=false")
                shell.run([*kubectl, "delete", "pod", "--namespace", namespace, *now, *pods])
            # One request for all of them: the API server deletes in parallel.
            shell.run([*kubectl, "delete", "--raw", f"/api/v1/nodes?labelSelector={LABEL.replace('/', '%2F')}%3Dtrue"])


def batched(items: list[dict[str, Any]], *, size: int) -> Iterator[list[dict[str, Any]]]:
    """Cut a list into pieces of that size."""
    return (items[first : first + size] for first in range(0, len(items), size))


def _create(kubectl: list[str], nodes: list[dict[str, Any]]) -> None:
    many = {"apiVersion": "v1", "kind": "List", "items": nodes}
    shell.run([*kubectl, "create", "-f", "-"], stdin=json.dumps(many))


def _component(paths: Paths, *, program: Path, kubectl: list[str], nodes: int, kubeconfig: Path | None) -> Component:
    return Component(
        name="kwok",
        argv=(
            str(program),
            f"--kubeconfig={kubeconfig or paths.kubeconfig}",
            f"--config={_STAGES}",
            f"--manage-nodes-with-label-selector={LABEL}=true",
            "--node-lease-duration-seconds=40",
            f"--cidr={_ADDRESSES}",
            "--v=WARN",
        ),
        ready=lambda: _ready(kubectl) == nodes,
        patience=60 + nodes / 10,
        pause=0.1 + nodes / 500,
    )


def _node(name: str, *, gpus: int) -> dict[str, Any]:
    room = {"cpu": "1k", "memory": "4Ti", "pods": "10k", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {LABEL: "true", "kubernetes.io/hostname": name}},
        # What is meant for real nodes stays away; what is meant for these tolerates it and selects the label.
        "spec": {"taints": [{"key": LABEL, "value": "true", "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room},
    }


def _there(kubectl: list[str]) -> set[str]:
    listed = shell.run([*kubectl, "get", "nodes", "--selector", f"{LABEL}=true", "-o", "name"])
    return {name.removeprefix("node/") for name in listed.split()}


def _ready(kubectl: list[str]) -> int:
    listed = shell.run([*kubectl, "get", "nodes", "--no-headers", "--selector", f"{LABEL}=true"])
    return sum(line.split()[1].split(",")[0] == "Ready" for line in listed.splitlines())


def _kubectl(paths: Paths, kubeconfig: Path | None) -> list[str]:
    if kubeconfig is None and not paths.kubeconfig.exists():
        raise ToolError("there is no cluster: bring one up first")
    return [str(build.program(paths, "kubectl")), "--kubeconfig", str(kubeconfig or paths.kubeconfig)]


def _processes(paths: Paths, kubeconfig: Path | None) -> Processes:
    """Return where kwok's process is kept: with our cluster, which takes it along when it ends, or apart."""
    if kubeconfig in {None, paths.kubeconfig}:
        return state.processes(paths)
    return Processes(records=paths.cache / "kwok", logs=paths.cache / "kwok")
