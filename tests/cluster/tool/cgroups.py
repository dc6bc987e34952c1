"""A control group for each node: two kubelets below one root would end each other's pods."""

import os
from pathlib import Path
from typing import Final

from tests.cluster.tool.addresses import Addresses

_MOUNTS: Final = Path("/proc/self/mounts")


def ensure(ours: Addresses, node: str) -> str:
    """Make the node's group in every hierarchy and return its name as the kubelet wants it."""
    for mount, kind in _hierarchies():
        if kind == "cgroup2" and _is_unified(mount):
            _delegate(mount)
        for group in (mount / ours.cgroup, mount / ours.cgroup / node):
            group.mkdir(exist_ok=True)
            # A new cpuset is empty, and nothing can run in it.
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if kind == "cgroup" and (group / setting).exists() and not (group / setting).read_text().strip():
                    (group / setting).write_text((group.parent / setting).read_text())
            if kind == "cgroup2" and _is_unified(mount):
                _enable_controllers(group)
    return f"/{ours.cgroup}/{node}"


def remove(ours: Addresses) -> None:
    """Remove all groups, the innermost first; processes must have ended before."""
    for top in groups(ours):
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue


def groups(ours: Addresses) -> list[Path]:
    """Return the cluster's top groups, one for each hierarchy."""
    return [mount / ours.cgroup for mount, _ in _hierarchies() if (mount / ours.cgroup).is_dir()]


def processes(ours: Addresses, node: str = "") -> set[int]:
    """Return every process inside the cluster's groups, or one node's: the containers' own."""
    found: set[int] = set()
    for top in groups(ours):
        for members in (top / node).rglob("cgroup.procs"):
            try:
                found.update(int(line) for line in members.read_text().split())
            except OSError:
                continue
    return found


def _hierarchies() -> list[tuple[Path, str]]:
    mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    return [(Path(mount[1]), mount[2]) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]


def _is_unified(mount: Path) -> bool:
    """Tell a host that has only version 2 from one where it rides along without controllers."""
    return bool((mount / "cgroup.controllers").read_text().split())


def _delegate(mount: Path) -> None:
    """Let the top group hand its controllers down.

    In a container the top group holds processes itself, which version 2 forbids then: they move aside first.
    """
    try:
        _enable_controllers(mount)
    except OSError:
        aside = mount / "init"
        aside.mkdir(exist_ok=True)
        for pid in (mount / "cgroup.procs").read_text().split():
            try:
                (aside / "cgroup.procs").write_text(pid)
            except OSError:
                continue
        _enable_controllers(mount)


def _enable_controllers(group: Path) -> None:
    offered = (group / "cgroup.controllers").read_text().split()
    enabled = (group / "cgroup.subtree_control").read_text().split()
    for controller in offered:
        if controller not in enabled:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
