"""The kernel's limit on file watchers: the usual one is used up by a few nodes, and the next kubelet can't start."""

from pathlib import Path
from typing import Final

from tests.cluster.tool.paths import Paths

INSTANCES: Final = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH: Final = 1024


def lift(paths: Paths, *, setting: Path = INSTANCES) -> None:
    """Lift the limit where it is low, and remember what it was."""
    found = int(setting.read_text())
    if found >= ENOUGH:
        return
    try:
        setting.write_text(f"{ENOUGH}\n")
    except OSError:
        # Where the machine doesn't let us, a small cluster still starts.
        return
    _memory(paths).write_text(f"{found}\n")


def restore(paths: Paths, *, setting: Path = INSTANCES) -> None:
    """Give the machine its own limit back, once no cluster of ours runs and nobody else has changed it."""
    memory = _memory(paths)
    if not memory.exists() or any(folder.is_dir() for folder in paths.cache.glob("cluster*")):
        return
    if int(setting.read_text()) == ENOUGH:
        setting.write_text(memory.read_text())
    memory.unlink()


def _memory(paths: Paths) -> Path:
    return paths.cache / "inotify-instances"
