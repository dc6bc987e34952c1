"""The sudden death of a node and its return; its Node object stays, as it does when a machine loses its power."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.cluster.tool import cgroups, imagestore, node, processes, shell, state
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.kubeapi import KubeApi, is_ready
from tests.cluster.tool.paths import Paths

PATIENCE: Final = 60.0
"""Seconds after which a node that was started again must be ready and free of taints."""
_ROUNDS: Final = 20
"""A process that is just starting another can hide it from one look, not from so many."""


def kill(paths: Paths, name: str, *, unplugged: bool = True) -> None:
    """Kill the node's kubelet, container runtime, shims and containers, and nothing of any other node.

    Unplugged, nobody hears of it. Else the node's kernel still closes the connections of what was killed, as it does
    when only processes die.
    """
    _index(paths, name)
    ours = paths.addresses
    if unplugged:
        shell.run(["ip", "link", "set", ours.cable(name), "down"])
    # Those who would restart or report anything first.
    state.processes(paths).stop([f"kubelet-{name}", f"containerd-{name}", f"kube-proxy-{name}"], patience=0)
    for _ in range(_ROUNDS):
        left = processes.naming(paths.node(name)) | cgroups.processes(ours, name)
        if not left:
            return
        # A launcher that saw its training process die some milliseconds before itself would still tell its crew.
        processes.freeze(left)
        processes.stop(left, patience=0)
    raise ToolError(f"processes of {name} survive SIGKILL: {sorted(left)}")


def revive(paths: Paths, name: str) -> None:
    """Start a killed node again; return when it is ready and takes pods. One that lives is left alone."""
    index, api, running = _index(paths, name), KubeApi(paths), state.processes(paths)
    runtime, agents = node.containerd(paths, index), (node.kubelet(paths, index), node.kube_proxy(paths, index))
    if all(running.alive(component.name) for component in (runtime, *agents)):
        return
    # A node that was dead for a moment only is still called ready: what counts is what the new kubelet says.
    began = datetime.now(UTC).replace(microsecond=0)
    shell.run(["ip", "link", "set", paths.addresses.cable(name), "up"])
    running.start(runtime)
    running.wait(runtime)
    imagestore.ensure_pause(paths, name)
    for component in agents:
        running.start(component)
        running.wait(component)
    known = state.read(paths)
    if known is not None and known.gpus and not api.give_gpus(name, known.gpus):
        raise ToolError(f"the API server refused to give {name} its GPUs back")
    deadline = time.monotonic() + PATIENCE
    while not any(found["metadata"]["name"] == name and _serves(found, since=began) for found in api.nodes()):
        if time.monotonic() > deadline:
            raise ToolError(f"{name} was started again and is not ready after {PATIENCE:.0f} s")
        time.sleep(0.2)


def _index(paths: Paths, name: str) -> int:
    known = state.read(paths)
    if known is None or name not in known.names:
        raise ToolError(f"no node of this cluster is called {name}")
    return known.names.index(name) + 1


def _serves(found: dict[str, Any], *, since: datetime) -> bool:
    """Tell whether a node object says, after `since`, that the node is ready, and nothing keeps pods away from it."""
    ready = next((each for each in found["status"].get("conditions", []) if each["type"] == "Ready"), None)
    if ready is None or not is_ready(found) or found["spec"].get("taints"):
        return False
    # The times are cut to seconds.
    return datetime.fromisoformat(ready["lastHeartbeatTime"]) >= since + timedelta(seconds=1)
