"""Ending the cluster: nothing of it stays on the machine but the cache of what was built."""

import json
import os
import shutil
from pathlib import Path
from typing import Final

from tests.cluster.tool import cgroups, limits, network, processes, shell, state
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.progress import Progress

_CNI_RESULTS: Final = Path("/var/lib/cni/results")
_CONTAINER_LOGS: Final = Path("/var/log/containers")
_PROC: Final = Path("/proc")


def down(paths: Paths, *, progress: Progress | None = None) -> None:
    """Tear the cluster down, also one that only half came up; nothing to do is no error."""
    progress = progress or Progress()
    with state.lock(paths.lock):
        if not paths.cluster.exists() and not leftovers(paths):
            progress.say("there is no cluster; nothing to do")
            return
        with progress.step("tear the cluster down"):
            remove(paths)
        left = leftovers(paths)
        progress.say("the cluster is gone" if not left else "the cluster is gone, but these are left:")
        for what in left:
            progress.say(f"  {what}")


def remove(paths: Paths) -> None:
    """End the processes, then remove mounts, namespaces, links, routes, groups and files, in this order."""
    ours = state.processes(paths)
    # Nothing that they would save on the way out is kept. First those who would start others again.
    ours.stop([name for name in ours.names() if name.startswith("kubelet")], patience=0)
    ours.stop(ours.names(), patience=0)
    sockets = _shim_sockets(paths)
    processes.stop(processes.naming(paths.cluster) | cgroups.processes(paths.addresses), patience=0)
    _unmount(paths.cluster)
    network.remove(paths.addresses)
    cgroups.remove(paths.addresses)
    for path in (*sockets, *_files_elsewhere(paths)):
        path.unlink(missing_ok=True)
    shutil.rmtree(paths.cluster, ignore_errors=True)
    if paths.cluster.exists():
        # A mount that a dying process held a moment longer.
        _unmount(paths.cluster)
        shutil.rmtree(paths.cluster)
    limits.restore(paths)


def leftovers(paths: Paths) -> tuple[str, ...]:
    """Return what is left of a cluster that was torn down, one line each."""
    ours = paths.addresses
    found = [
        f"process {pid}: {_command(pid)[:100]}"
        for pid in sorted(processes.naming(paths.cluster) | cgroups.processes(paths.addresses))
    ]
    found += [f"mount {mount}" for mount in _mounts(paths.cluster)]
    if shell.succeeds(["ip", "-V"]):
        found += [f"network namespace {name}" for name in network.namespaces(ours)]
        found += [f"link {name}" for name in network.links(ours)]
        found += [f"route {name}" for name in network.routes(ours)]
    found += [f"packet filter rule {rule}" for rule in network.rules(ours)]
    found += [f"cgroup {path}" for path in cgroups.groups(ours)]
    found += [f"file {path}" for path in _files_elsewhere(paths)]
    if paths.cluster.exists():
        found.append(f"folder {paths.cluster}")
    return tuple(found)


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "?"


def _mounts(below: Path) -> list[str]:
    """Return the mount points below a folder, the innermost first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    # The kernel writes spaces as \\040.
    points = [point.encode().decode("unicode_escape") for point in points]
    return sorted((point for point in points if point.startswith(f"{below}/")), reverse=True)


def _unmount(below: Path) -> None:
    for point in _mounts(below):
        shell.succeeds(["umount", "--lazy", point])


def _shim_sockets(paths: Paths) -> list[Path]:
    """Return the sockets that killed shims leave in /run/containerd, read from their own files."""
    found = []
    for bundle in paths.cluster.glob("*/state/io.containerd.runtime.v2.task/*/*/bootstrap.json"):
        try:
            address = json.loads(bundle.read_text()).get("address", "")
        except (OSError, ValueError):
            continue
        if address.startswith("unix://"):
            found.append(Path(address.removeprefix("unix://")))
    return found


def _files_elsewhere(paths: Paths) -> list[Path]:
    """Return what kubelet and CNI leave in folders nobody can choose."""
    found = list(_CNI_RESULTS.glob(f"{paths.addresses.cni_network}-*")) if _CNI_RESULTS.is_dir() else []
    if _CONTAINER_LOGS.is_dir():
        links = [path for path in _CONTAINER_LOGS.iterdir() if path.is_symlink()]
        found += [path for path in links if os.readlink(path).startswith(f"{paths.cluster}/")]
    return found
