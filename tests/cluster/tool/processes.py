"""The cluster's processes: started apart from the tool, found again by pid and start time, stopped for good."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.cluster.tool import shell
from tests.cluster.tool.errors import ToolError

# The shell leaves at once, so the component belongs to init, survives Ctrl-C and never becomes our zombie.
_APART: Final = 'log="$1"; shift; setsid "$@" >"$log" 2>&1 </dev/null & echo $!'


@dataclass(frozen=True, slots=True)
class Component:
    """A long-running program: its name, its command line and what it is asked before it counts as started."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool] = field(default=lambda: True)
    patience: float = 60.0
    pause: float = 0.05
    """Seconds between two questions whether it is ready."""


class Processes:
    """The processes whose records lie in one folder."""

    def __init__(self, *, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs

    def log(self, name: str) -> Path:
        """Return the log of a component."""
        return self._logs / f"{name}.log"

    def start(self, component: Component) -> None:
        """Start a component unless it runs; the log of its last run is kept beside the new one."""
        if self.alive(component.name):
            return
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self.log(component.name)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        said = subprocess.run(
            ["sh", "-c", _APART, "sh", log, *component.argv], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        pid = int(said)
        record = {"pid": pid, "started": start_time(pid)}
        self._record(component.name).write_text(json.dumps(record) + "\n")

    def wait(self, component: Component) -> None:
        """Wait until a started component is ready; say what its log says if it never is."""
        deadline = time.monotonic() + component.patience
        while not component.ready():
            if not self.alive(component.name):
                raise ToolError(self._failure(component.name, "ended"))
            if time.monotonic() > deadline:
                raise ToolError(self._failure(component.name, f"was not ready after {component.patience:.0f} s"))
            time.sleep(component.pause)

    def alive(self, name: str) -> bool:
        """Tell whether the recorded process still is that process, and runs."""
        return self.pid(name) is not None

    def pid(self, name: str) -> int | None:
        """Return the pid of a running component."""
        record = self._read(name)
        if record is None or record["started"] is None:
            return None
        return record["pid"] if start_time(record["pid"]) == record["started"] else None

    def names(self) -> list[str]:
        """Return the names of all components ever started here."""
        return sorted(path.stem for path in self._records.glob("*.json"))

    def stop(self, names: Iterable[str], *, patience: float = 5.0) -> None:
        """End components: asked first, killed when they don't listen; without patience, killed at once."""
        stop({pid for name in names if (pid := self.pid(name)) is not None}, patience=patience)

    def _failure(self, name: str, what: str) -> str:
        log = self.log(name)
        said = shell.tail(log.read_text(errors="replace")) if log.exists() else "  (it wrote no log)"
        return f"{name} {what}. The end of {log}:\n{said}"

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(self._record(name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"


def start_time(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None when it is gone or a zombie.

    Together with the pid it names one process for ever: pids are used again.
    """
    try:
        # The name in parentheses may hold spaces and parentheses; what follows the last one is fixed.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def stop(pids: set[int], *, patience: float) -> None:
    """Ask processes to end, wait, and kill those that are left; without patience, kill them at once."""
    known = {pid: started for pid in pids if (started := start_time(pid)) is not None}
    orders = ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0))
    for order, seconds in orders if patience else orders[1:]:
        known = {pid: started for pid, started in known.items() if start_time(pid) == started}
        for pid in known:
            _signal(pid, order)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(start_time(pid) == started for pid, started in known.items()):
            time.sleep(0.02)


def freeze(pids: set[int]) -> None:
    """Stop processes where they are: none can react any more to what becomes of another."""
    for pid in pids:
        _signal(pid, signal.SIGSTOP)


def naming(folder: Path) -> set[int]:
    """Return every process of a cluster whose command line names this folder: components, shims and their helpers."""
    mark = f"{folder}/".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        program = Path(os.fsdecode(words[0])).name if words and words[0] else ""
        if program in _PROGRAMS and any(mark in word for word in words):
            found.add(int(entry.name))
    return found


_PROGRAMS: Final = frozenset(
    (
        *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns", "kwok"),
        *("containerd", "containerd-shim-runc-v2", "kubelet", "kube-proxy", "runc"),
    )
)
"""Only these are ours to end: an editor or a `tail -f` on a log also names the folder."""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
