"""Running other programs: quietly when they work, with the end of what they said when they don't."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.tool.errors import ToolError


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Return what the command printed; a failure is a ToolError that ends with its last lines.

    `env` adds to the environment; with `log` the output is also kept in that file.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{shlex.join(command)[:200]} did not end within {timeout:.0f} s") from error
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout)
    if done.returncode:
        said = (done.stdout if log else done.stderr or done.stdout) or ""
        where = f"\n(the whole output: {log})" if log else ""
        raise ToolError(f"{shlex.join(command)[:300]}\nfailed with exit code {done.returncode}:\n{tail(said)}{where}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Tell whether the command ends with 0, without a word about it."""
    try:
        return subprocess.run([str(part) for part in argv], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def tail(text: str, *, lines: int = 15) -> str:
    """Return the last lines, indented, long ones cut."""
    return "\n".join(f"  | {line[:400]}" for line in text.rstrip().splitlines()[-lines:])


def write(path: Path, text: str) -> Path:
    """Write a file unless it says that already: kube-proxy ends when its configuration is touched."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def which(name: str) -> str:
    """Return the full path of an installed program, also from the folders only root has on its PATH."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        raise ToolError(f"{name} is not installed")
    return found
