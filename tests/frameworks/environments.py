"""Python environments with real frameworks, made once for each list of pins, in the cache outside the repository."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.tool import debian, shell, state
from tests.cluster.tool.paths import REPO, Paths
from tests.cluster.tool.progress import Progress

__all__ = ["PYTORCH", "TENSORFLOW", "Environment"]


@dataclass(frozen=True, slots=True)
class Environment:
    """One list of pins; `stubs`: its torch is a CUDA build, which needs them on a machine without CUDA."""

    name: str
    pins: str
    stubs: bool = False

    def python(self) -> Path:
        """Its interpreter; installs what is not there yet."""
        paths = Paths.default()
        inputs = [self.pins, *(["runtime_images/pytorch/cpu_stubs.py"] if self.stubs else [])]
        digest = hashlib.sha256("\n".join((platform.machine(), sys.version)).encode())
        for file in inputs:
            digest.update((REPO / file).read_bytes())
        folder = paths.cache / "frameworks" / f"{self.name}-{digest.hexdigest()[:12]}"
        with state.lock(paths.cache / "frameworks.lock"):
            if not (folder / ".complete").exists():
                self._make(folder)
        return folder / "bin" / "python"

    def _make(self, folder: Path) -> None:
        for old in folder.parent.glob(f"{self.name}-*"):
            shutil.rmtree(old)
        uv = [sys.executable, "-m", "uv", "--quiet"]
        shell.run([*uv, "venv", "--python", sys.executable, "--no-managed-python", folder])
        python = folder / "bin" / "python"
        shell.run([*uv, "pip", "install", "--python", python, "--no-deps", "--requirement", REPO / self.pins])
        if self.stubs:
            debian.ensure({"gcc": "gcc", "objdump": "binutils"}, progress=Progress())
            (site,) = folder.glob("lib/python3*/site-packages")
            shell.run([sys.executable, REPO / "runtime_images" / "pytorch" / "cpu_stubs.py", site])
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([python, "-m", "compileall", "-qq", "-j", "0", folder / "lib"], env=environment, check=False)
        (folder / ".complete").touch()


PYTORCH: Final = Environment("pytorch", "tests/frameworks/requirements.txt", stubs=True)
"""torch, Lightning, Hugging Face's Trainer, and Keras on torch."""
TENSORFLOW: Final = Environment("tensorflow", "runtime_images/tensorflow/requirements-cpu.txt")
