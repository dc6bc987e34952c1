"""The network: one bridge on the host, one network namespace for each node, routes between their pods.

Nothing is forwarded by the host, so nothing leaves the machine; the host itself reaches every pod and service.
"""

import json
from typing import Final

from tests.cluster.tool import shell

BRIDGE: Final = "regatta0"
API_SERVER: Final = "172.30.0.1"
"""The bridge's address: the API server and the cluster's DNS listen there."""
PODS: Final = "10.244.0.0/16"
SERVICES: Final = "10.96.0.0/16"
SERVICE_API: Final = "10.96.0.1"
_NAMESPACES: Final = "/var/run/netns"


def namespace(node: str) -> str:
    """Return the name of a node's network namespace."""
    return f"regatta-{node}"


def enter(node: str) -> tuple[str, ...]:
    """Return the start of a command line that runs in a node's network.

    Not `ip netns exec`: that mounts a new /sys, which hides the cgroups from the kubelet.
    """
    return ("nsenter", f"--net={_NAMESPACES}/{namespace(node)}")


def node_address(index: int) -> str:
    """Return the address of node number `index`, counted from one."""
    return f"172.30.0.{10 + index}"


def pod_range(index: int) -> str:
    """Return the range that the pods of node number `index` get their addresses from."""
    return f"10.244.{index}.0/24"


def ensure_bridge() -> None:
    """Make the bridge with the host's address on it, unless it is there."""
    if not _link_exists(BRIDGE):
        _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "replace", f"{API_SERVER}/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


def ensure_node(index: int, *, name: str, others: list[int]) -> None:
    """Make a node's namespace, its cable to the bridge and the routes to and from its pods."""
    space, cable = namespace(name), f"rg-{name}"
    if not shell.succeeds(["ip", "netns", "exec", space, "true"]):
        shell.succeeds(["ip", "netns", "delete", space])
        _ip("netns", "add", space)
    if not _link_exists(cable):
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("link", "set", cable, "master", BRIDGE, "up")
    inside = ("-n", space)
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "replace", f"{node_address(index)}/24", "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")
    _ip(*inside, "route", "replace", "default", "via", API_SERVER)
    shell.run([*enter(name), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    _ip("route", "replace", pod_range(index), "via", node_address(index))
    if index == 1:
        # Services are reached from the host through the first node's kube-proxy.
        _ip("route", "replace", SERVICES, "via", node_address(index))
    for other in others:
        _ip(*inside, "route", "replace", pod_range(other), "via", node_address(other))


def route_between(index: int, *, name: str) -> None:
    """Tell a node that was there before how to reach the pods of a new one."""
    _ip("-n", namespace(name), "route", "replace", pod_range(index), "via", node_address(index))


def remove() -> None:
    """Remove every namespace, link and route of the cluster; what is not there is no error."""
    for space in namespaces():
        shell.succeeds(["ip", "netns", "delete", space])
    for link in links():
        shell.succeeds(["ip", "link", "delete", link])
    for route in routes():
        shell.succeeds(["ip", "route", "delete", route])


def namespaces() -> list[str]:
    """Return the cluster's network namespaces."""
    listed = json.loads(shell.run(["ip", "-json", "netns", "list"]) or "[]")
    return [entry["name"] for entry in listed if entry["name"].startswith("regatta-")]


def links() -> list[str]:
    """Return the cluster's links on the host, the bridge last."""
    names = [entry["ifname"] for entry in json.loads(shell.run(["ip", "-json", "link"]) or "[]")]
    return [name for name in names if name.startswith("rg-")] + [name for name in names if name == BRIDGE]


def routes() -> list[str]:
    """Return the host's routes into the cluster."""
    listed = json.loads(shell.run(["ip", "-json", "route"]) or "[]")
    return [route["dst"] for route in listed if route["dst"].startswith("10.244.") or route["dst"] == SERVICES]


def _link_exists(name: str) -> bool:
    return shell.succeeds(["ip", "link", "show", name])


def _ip(*arguments: str) -> None:
    shell.run(["ip", *arguments])
