"""Real launchers on this machine's loopback, with small Python scripts in the place of training programs.

Nothing here waits for time to pass: a test waits for a line of output, for a page of a launcher, or for an exit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Final

from regatta_runtime.crew.ports import fresh_port

RUNTIME: Final = Path(__file__).parents[3] / "runtime_images"
PYTHON: Final = os.environ.get("REGATTA_TEST_PYTHON", sys.executable)
"""What launchers and scripts run on: the oldest Python that a user's image may have, say."""
PATIENCE: Final = 30.0
"""Seconds after which a test gives up; what it waits for usually comes within a fraction of one."""

PRELUDE: Final = """
import os, signal, sys, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
local_rank, generation = int(os.environ["LOCAL_RANK"]), int(os.environ["REGATTA_GENERATION"])
def say(*words): print(*words, flush=True)
def wait(): say(f"waiting in generation {generation}"); signal.pause()
"""


_given: Final[set[int]] = set()


def free_port() -> int:
    """A port outside of the ephemeral range, so that no connection of another test takes it meanwhile."""
    port = fresh_port(frozenset(_given))
    _given.add(port)
    return port


class Launcher:
    """One launcher process; its output is collected line by line as it comes."""

    def __init__(self, crew: Crew, worker: int, variables: dict[str, str], command: list[str]) -> None:
        self.worker = worker
        self.metrics_port = int(variables["REGATTA_METRICS_PORT"])
        self._termination_log = Path(variables["REGATTA_TERMINATION_LOG"])
        self._lines: list[str] = []
        self._rest = b""
        self._deaf = False
        self.raw = b""
        self._news = crew.news
        self.popen = subprocess.Popen(
            [PYTHON, "-S", *crew.entry, "--", *command],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(RUNTIME), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop_reading(self) -> None:
        """Close its output after the next thing that it says."""
        self._deaf = True

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        with self._news:
            return "\n".join(self._lines)

    def wait(self) -> int:
        """Its exit code, once it and its output have ended."""
        code = self.popen.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def termination(self) -> dict[str, Any]:
        """Its last words."""
        return dict(json.loads(self._termination_log.read_bytes()))

    def get(self, path: str) -> tuple[int, str]:
        """A page of its metrics port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=PATIENCE) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return int(refusal.code), refusal.read().decode()

    def _read(self) -> None:
        # Not by whole lines: a test may wait for one that has not ended yet.
        assert self.popen.stdout is not None
        with self.popen.stdout as stdout:
            while data := os.read(stdout.fileno(), 65536):
                with self._news:
                    self.raw += data
                    *lines, self._rest = (self._rest + data).split(b"\n")
                    self._lines += [line.decode("utf-8", "replace") for line in lines]
                    self._news.notify_all()
                    if self._deaf:
                        return


class Crew:
    """Builder and owner of the launchers of one attempt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.news = threading.Condition()
        self.launchers: dict[int, Launcher] = {}
        self._all: list[Launcher] = []
        self._attempt = 1
        self.port = free_port()
        self.token = uuid.uuid4().hex
        self._job = f"job-{uuid.uuid4().hex[:12]}"
        self.entry = ["-m", "regatta_runtime"]
        self._workers, self._processes = 1, 1
        self._command: list[str] = []
        self._variables: dict[str, str] = {}

    def of(self, workers: int, processes: int = 1) -> Crew:
        self._workers, self._processes = workers, processes
        return self

    def script(self, text: str) -> Crew:
        """What every training process runs; `rank`, `world`, `generation`, `say` and `wait` are there."""
        file = self.folder / "train.py"
        file.write_text(PRELUDE + textwrap.dedent(text))
        return self.command(PYTHON, "-S", str(file))

    def command(self, *words: str) -> Crew:
        self._command = list(words)
        return self

    def env(self, **variables: str) -> Crew:
        self._variables.update(variables)
        return self

    def launch(self, worker: int, **variables: str) -> Launcher:
        log = self.folder / f"termination-{worker}"
        log.touch()
        environment = {
            "REGATTA_JOB": self._job,
            "REGATTA_NAMESPACE": "default",
            "REGATTA_UID": "6f1c",
            "REGATTA_FRAMEWORK": "PyTorch",
            "REGATTA_ATTEMPT": str(self._attempt),
            "REGATTA_WORKER": str(worker),
            "REGATTA_WORKERS": str(self._workers),
            "REGATTA_PROCESSES": str(self._processes),
            "REGATTA_COORDINATOR": f"127.0.0.1:{self.port}",
            "REGATTA_TOKEN": self.token,
            "REGATTA_JOIN_TIMEOUT": "20",
            "REGATTA_RESTARTS": "3",
            "REGATTA_METRICS_PORT": str(free_port()),
            "REGATTA_TERMINATION_LOG": str(log),
            **self._variables,
            **variables,
        }
        self.launchers[worker] = Launcher(self, worker, environment, self._command)
        self._all.append(self.launchers[worker])
        return self.launchers[worker]

    def start(self, *, order: list[int] | None = None) -> Crew:
        for worker in order or range(self._workers):
            self.launch(worker)
        return self

    def next_attempt(self) -> Crew:
        """Go on with the attempt that follows: new pods at new addresses, which know each other by a new token."""
        self.launchers = {}
        self._attempt += 1
        self.port, self.token = free_port(), uuid.uuid4().hex
        return self

    def until(self, text: str, *, times: int = 1, worker: int | None = None) -> None:
        """Wait until `text` has been seen so often in the output (of one worker, or of all together)."""
        watched = list(self.launchers.values()) if worker is None else [self.launchers[worker]]
        deadline = time.monotonic() + PATIENCE
        with self.news:
            while sum(line.count(text) for each in watched for line in each._lines) < times:
                assert self.news.wait(deadline - time.monotonic()), f"no {text!r} in:\n{self.output}"

    def until_raw(self, data: bytes, *, worker: int = 0) -> None:
        """Wait until one worker has written these bytes, in a line that may not have ended."""
        deadline = time.monotonic() + PATIENCE
        with self.news:
            while data not in self.launchers[worker].raw:
                assert self.news.wait(deadline - time.monotonic()), f"no {data!r} in:\n{self.output}"

    def until_page(self, path: str, text: str, *, worker: int = 0) -> int:
        """Ask a launcher's page until it holds `text`; its status then."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                status, page = self.launchers[worker].get(path)
            except urllib.error.URLError:
                status, page = 0, "not open yet"
            if text in page:
                return status
            assert time.monotonic() < deadline, f"no {text!r} in {page}"
            threading.Event().wait(0.01)

    def wait(self) -> list[int]:
        """All exit codes, by worker."""
        return [self.launchers[worker].wait() for worker in sorted(self.launchers)]

    @property
    def output(self) -> str:
        return "\n".join(f"--- worker {w}\n{self.launchers[w].output}" for w in sorted(self.launchers))

    def processes(self) -> dict[int, int]:
        """Living training processes of this crew, grandchildren included: rank by pid."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environ = dict(v.split("=", 1) for v in (entry / "environ").read_text().split("\0") if "=" in v)
                    zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                except (OSError, UnicodeDecodeError):
                    continue
                if environ.get("REGATTA_JOB") == self._job and "REGATTA_MARK" in environ and not zombie:
                    found[int(entry.name)] = int(environ.get("RANK", -1))
        return found

    def pid_of(self, rank: int) -> int:
        return next(pid for pid, its_rank in self.processes().items() if its_rank == rank)

    def close(self) -> None:
        for launcher in self._all:
            if launcher.popen.poll() is None:
                launcher.popen.send_signal(signal.SIGKILL)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for launcher in self._all:
            launcher.wait()
