"""Runs a program as the launcher runs a training process, and keeps what its instruments tell."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from regatta_runtime.crew.ports import fresh_port
from regatta_runtime.install import install
from regatta_runtime.measure.ledger import Ledger
from regatta_runtime.measure.readings import Reading
from tests.frameworks.environments import Environment

__all__ = ["Told", "run"]

PROGRAMS: Final = Path(__file__).parent / "programs"
PATIENCE: Final = 300.0
"""Seconds for one program: frameworks take long to import where many do so at once."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the processes said, to the launcher and on their own."""

    ledger: Ledger
    results: list[dict[str, Any]]
    output: str
    exit_codes: list[int]

    def reading(self, rank: int = 0) -> Reading:
        """Everything that a process told."""
        return self.ledger.total()[rank]

    def of(self, *states: str) -> float:
        """Seconds that rank 0 spent in these states."""
        return sum(self.reading().seconds.get(state, 0.0) for state in states)


def run(
    environment: Environment,
    program: str,
    folder: Path,
    *,
    framework: str = "PyTorch",
    processes: int = 1,
    steps_done: int = 0,
    beside: str = "",
    **variables: str,
) -> Told:
    """Run a program of `programs/` to its end; what it prints after RESULT is its own truth.

    `beside`: a folder that Python finds modules in after those of the runtime.
    """
    if not (folder / "regatta" / "regatta_runtime").exists():
        install(str(folder / "regatta"))
    name = f"regatta-test-{uuid.uuid4().hex}"
    ledger = Ledger(time.monotonic)
    ledger.begin_generation()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(0.1)
        ended = threading.Event()
        reader = threading.Thread(target=_read, args=(sock, ledger, ended))
        reader.start()
        common = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{folder}/regatta/regatta_runtime/hooks/site:{folder}/regatta:{beside}",
            "PYTHONUNBUFFERED": "1",
            "REGATTA_PROGRESS": name,
            "REGATTA_FRAMEWORK": framework,
            "REGATTA_GENERATION": "1",
            "REGATTA_WORKERS": "1",
            "REGATTA_PROCESSES": str(processes),
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(fresh_port(frozenset())),
            "OMP_NUM_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "0",
            **({"REGATTA_STEPS_DONE": str(steps_done)} if steps_done else {}),
            **variables,
        }
        running = [
            subprocess.Popen(
                [environment.python(), PROGRAMS / program],
                cwd=folder,
                env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(processes)
        ]
        try:
            output = "".join(process.communicate(timeout=PATIENCE)[0] for process in running)
        finally:
            for process in running:
                process.kill()
            ended.set()
            reader.join()
    results = [json.loads(line.partition("RESULT ")[2]) for line in output.splitlines() if "RESULT " in line]
    return Told(ledger, results, output, [process.returncode for process in running])


def _read(sock: socket.socket, ledger: Ledger, ended: threading.Event) -> None:
    while True:
        try:
            told = json.loads(sock.recv(65536))
        except TimeoutError:
            if ended.is_set():
                return
            continue
        if "measured" in told:
            ledger.take(told["rank"], told["measured"])
