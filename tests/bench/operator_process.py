"""The operator as a process of its own on this machine, as the work tree has it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["OperatorProcess"]

PORT = 28080
READY_SECONDS = 60.0


class OperatorProcess:
    """Runs while the context is open; its log is in `log` and is shown when it does not become ready."""

    def __init__(self, *, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._folder = tempfile.TemporaryDirectory(prefix="regatta-bench-")
        self.log = Path(self._folder.name) / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        command = [
            sys.executable, "-m", "regatta.control.main",
            "--port", str(PORT),
            "--lease-namespace", "default",
            "--runtime-image", "localhost/regatta/runtime:bench",
            "--operator-image", "localhost/regatta/operator:bench",
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._wait_ready()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, user and system."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError(f"the operator did not become ready:\n{self.log.read_text(encoding='utf-8')[-4000:]}")
