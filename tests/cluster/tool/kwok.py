"""Fake nodes by the hundred: real objects on the real API server, whose pods kwok declares Running at once."""

import json
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
            if missing:
                many = {"apiVersion": "v1", "kind": "List", "items": missing}
                shell.run([*kubectl, "create", "-f", "-"], stdin=json.dumps(many))
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
            shell.run([*kubectl, "delete", "node", "--ignore-not-found", "--wait=false", "--selector", f"{LABEL}=true"])


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
        ),
        ready=lambda: len(_ready(kubectl)) == nodes,
        patience=60 + nodes / 20,
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


def _ready(kubectl: list[str]) -> set[str]:
    listed = json.loads(shell.run([*kubectl, "get", "nodes", "--selector", f"{LABEL}=true", "-o", "json"]))["items"]
    return {node["metadata"]["name"] for node in listed if state_of(node) == "True"}


def state_of(node: dict[str, Any]) -> str:
    """Return the status of a node's Ready condition, empty when it has none yet."""
    conditions = node.get("status", {}).get("conditions", [])
    return next((condition["status"] for condition in conditions if condition["type"] == "Ready"), "")


def _kubectl(paths: Paths, kubeconfig: Path | None) -> list[str]:
    if kubeconfig is None and not paths.kubeconfig.exists():
        raise ToolError("there is no cluster: bring one up first")
    return [str(build.program(paths, "kubectl")), "--kubeconfig", str(kubeconfig or paths.kubeconfig)]


def _processes(paths: Paths, kubeconfig: Path | None) -> Processes:
    """Return where kwok's process is kept: with our cluster, which takes it along when it ends, or apart."""
    if kubeconfig in {None, paths.kubeconfig}:
        return state.processes(paths)
    return Processes(records=paths.cache / "kwok", logs=paths.cache / "kwok")
