"""Helm as a person runs it, pointed at the tests' cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from tests.cluster.tool import api as tool

__all__ = ["Helm", "HelmError"]


class HelmError(Exception):
    """Helm said no; the text is its error, without the progress that goes the same way."""


class Helm:
    """Helm in one namespace."""

    def __init__(self, cluster: tool.Cluster, namespace: str) -> None:
        self._where = ["--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
        if cluster.context:
            self._where += ["--kube-context", cluster.context]

    def run(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """What Helm prints; raises `HelmError` where it fails."""
        given = [] if values is None else ["--values", "-"]
        done = subprocess.run(
            [str(tool.helm_path()), *arguments, *self._where, *given],
            input=json.dumps(values) if values is not None else None,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            _, error, words = done.stderr.rpartition("Error: ")
            raise HelmError((words if error else done.stderr[-2000:]).strip() + "\n" + done.stdout[-4000:])
        return done.stdout
