"""The network: one bridge on the host, one network namespace for each node, routes between their pods.

Nothing is forwarded by the host, so nothing leaves the machine; the host itself reaches every pod and service.
"""

import json
from pathlib import Path
from typing import Final

from tests.cluster.tool import shell
from tests.cluster.tool.addresses import Addresses

_NAMESPACES: Final = "/var/run/netns"


def enter(ours: Addresses, node: str) -> tuple[str, ...]:
    """Return the start of a command line that runs in a node's network.

    Not `ip netns exec`: that mounts a new /sys, which hides the cgroups from the kubelet.
    """
    return ("nsenter", f"--net={_NAMESPACES}/{ours.namespace(node)}")


def ensure_bridge(ours: Addresses) -> None:
    """Make the bridge with the host's address on it, unless it is there."""
    if not _link_exists(ours.bridge):
        _ip("link", "add", ours.bridge, "type", "bridge")
    _ip("address", "replace", f"{ours.host}/24", "dev", ours.bridge)
    _ip("link", "set", ours.bridge, "up")
    if _bridges_are_filtered() and not shell.succeeds(["iptables", "-C", *_pass_through(ours)]):
        shell.run(["iptables", "-I", *_pass_through(ours)])


def ensure_node(ours: Addresses, index: int, *, name: str, others: list[int]) -> None:
    """Make a node's namespace, its cable to the bridge and the routes to and from its pods."""
    space, cable = ours.namespace(name), ours.cable(name)
    if not shell.succeeds([*enter(ours, name), "true"]):
        # A name without a namespace behind it is what a reboot or a crash leaves.
        shell.succeeds(["ip", "netns", "delete", space])
        _ip("netns", "add", space)
    if not _link_exists(cable):
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("link", "set", cable, "master", ours.bridge, "up")
    inside = ("-n", space)
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "replace", f"{ours.node(index)}/24", "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")
    _ip(*inside, "route", "replace", "default", "via", ours.host)
    shell.run([*enter(ours, name), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    _ip("route", "replace", ours.pod_range(index), "via", ours.node(index))
    if index == 1:
        # Services are reached from the host through the first node's kube-proxy.
        _ip("route", "replace", ours.services, "via", ours.node(index))
    for other in others:
        _ip(*inside, "route", "replace", ours.pod_range(other), "via", ours.node(other))


def remove(ours: Addresses) -> None:
    """Remove every namespace, link and route of the cluster; what is not there is no error."""
    for space in namespaces(ours):
        shell.succeeds(["ip", "netns", "delete", space])
    for link in links(ours):
        shell.succeeds(["ip", "link", "delete", link])
    for route in routes(ours):
        shell.succeeds(["ip", "route", "delete", route])
    while shell.succeeds(["iptables", "-D", *_pass_through(ours)]):
        pass


def namespaces(ours: Addresses) -> list[str]:
    """Return the cluster's network namespaces."""
    listed = json.loads(shell.run(["ip", "-json", "netns", "list"]) or "[]")
    return [entry["name"] for entry in listed if entry["name"].startswith(ours.namespace(""))]


def links(ours: Addresses) -> list[str]:
    """Return the cluster's links on the host, the bridge last."""
    names = [entry["ifname"] for entry in json.loads(shell.run(["ip", "-json", "link"]) or "[]")]
    return [name for name in names if name.startswith(ours.cable(""))] + [name for name in names if name == ours.bridge]


def routes(ours: Addresses) -> list[str]:
    """Return the host's routes into the cluster."""
    listed = json.loads(shell.run(["ip", "-json", "route"]) or "[]")
    pods = ours.pods.removesuffix("0.0/16")
    return [route["dst"] for route in listed if route["dst"].startswith(pods) or route["dst"] == ours.services]


def rules(ours: Addresses) -> list[str]:
    """Return the host's packet filter rules for the cluster."""
    return [" ".join(_pass_through(ours))] if shell.succeeds(["iptables", "-C", *_pass_through(ours)]) else []


def _bridges_are_filtered() -> bool:
    """Tell whether this host sends what stays on a bridge through its packet filter, as it does for Docker's sake."""
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    return switch.exists() and switch.read_text().strip() == "1"


def _pass_through(ours: Addresses) -> tuple[str, ...]:
    return ("FORWARD", "-i", ours.bridge, "-o", ours.bridge, "-j", "ACCEPT")


def _link_exists(name: str) -> bool:
    return shell.succeeds(["ip", "link", "show", name])


def _ip(*arguments: str) -> None:
    shell.run(["ip", *arguments])
