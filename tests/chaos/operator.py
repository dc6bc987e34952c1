"""The operator under test: a process of this machine that may die at any moment, and is started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.tool import api as tool

__all__ = ["Operator"]

SILENCE_SECONDS = 20
"""After so long without a word a watch is taken for dead: shorter than usual, for watches go deaf here all the time."""
READY_SECONDS = 60.0


class Operator:
    """Runs while the context is open; all its lives write one log."""

    def __init__(self, *, kubeconfig: Path, namespace: str, images: Mapping[str, tool.Image], folder: Path) -> None:
        self.log_file = folder / "operator.log"
        self.killed = 0
        self.gave_up = 0
        """How often it ended by itself: a leader that cannot reach the API server has to."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._command = [
            sys.executable, "-m", "regatta.control.main",
            "--kubeconfig", str(kubeconfig),
            "--namespaces", namespace,
            "--lease-namespace", namespace,
            "--lease-seconds", "6", "--renew-seconds", "4", "--retry-seconds", "0.3",
            "--silence-seconds", str(SILENCE_SECONDS),
            "--host", "127.0.0.1", "--port", str(self._port),
            "--runtime-image", images["runtime"].reference,
            "--framework-images", f"PyTorch={images['pytorch'].reference}",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        end = time.monotonic() + READY_SECONDS
        while not self._leads():
            if time.monotonic() > end or self._ended():
                self.kill()
                raise RuntimeError(f"the operator did not become ready:\n{self.log_file.read_text()[-4000:]}")
            time.sleep(0.2)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Begin a new life; one that lives is left alone."""
        if self._process is not None and not self._ended():
            return
        with self.log_file.open("ab") as log:
            log.write(b'{"message": "a new life"}\n')
            log.flush()
            self._process = subprocess.Popen(self._command, env=os.environ, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and not self._ended():
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def tend(self) -> None:
        """Start it again where it has ended by itself."""
        if self._process is not None and self._ended():
            self.gave_up += 1
            self.start()

    def lines(self, job: str = "") -> list[str]:
        """What it logged, about one job or all."""
        return [line for line in self.log_file.read_text(errors="replace").splitlines() if job in {"", _job_of(line)}]

    def mistakes(self) -> list[str]:
        """Lines that tell of a mistake in its program: exceptions, and whatever is not written as its log is."""
        return [line for line in self.lines() if '"exception":' in line or not line.startswith("{")]

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _leads(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                return bool(json.loads(answer.read()).get("leading"))
        except OSError:
            return False


def _job_of(line: str) -> str | None:
    try:
        told: Any = json.loads(line)
    except ValueError:
        return None
    return told.get("job") if isinstance(told, dict) else None
