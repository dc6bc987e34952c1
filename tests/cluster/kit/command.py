"""The `regatta` command as a person runs it, pointed at the test's cluster and namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cluster.tool import api as tool

__all__ = ["Command"]


class Command:
    """`regatta`, with the options that say where."""

    def __init__(self, cluster: tool.Cluster, namespace: str, *, kubeconfig: Path | None = None) -> None:
        self._where = ["--namespace", namespace]
        if kubeconfig is not None:
            self._where += ["--kubeconfig", str(kubeconfig)]
            return
        if cluster.kubeconfig:
            self._where += ["--kubeconfig", str(cluster.kubeconfig)]
        if cluster.context:
            self._where += ["--context", cluster.context]

    def line(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "regatta.cli.main", *arguments, *self._where]

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(self.line(*arguments), capture_output=True, text=True, timeout=timeout, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it; the caller ends it."""
        return subprocess.Popen(self.line(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
