"""`regatta feed`: starts the feed, a program of its own with packages that nothing else here needs.

Nothing of it is imported: the command becomes `python -m regatta_feed`, and says what to install where that is not
there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import regatta
from regatta.errors import UsageError

__all__ = ["PACKAGES", "checkout", "feed_command", "feed_environment", "run_feed"]

PACKAGES: Final = ("numpy", "cv2", "simplejpeg", "pyarrow", "fsspec", "soundfile", "tokenizers")
"""Modules of the extra `feed`."""


def checkout() -> Path | None:
    """The folder of the feed where this is a checkout of the repository; None where it is installed."""
    folder = Path(regatta.__file__).resolve().parents[2] / "runtime_images"
    return folder if (folder / "regatta_feed" / "__init__.py").is_file() else None


def feed_command(arguments: Sequence[str], *, found: Callable[[str], object] = find_spec) -> list[str]:
    """The program and its arguments; raises UsageError where something is not installed."""
    missing = [name for name in PACKAGES if found(name) is None]
    if checkout() is None and found("regatta_feed") is None:
        missing.insert(0, "regatta_feed")
    if missing:
        raise UsageError(
            f"the feed needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'regatta-operator[feed]'"
        )
    return [sys.executable, "-m", "regatta_feed", *arguments]


def feed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the feed: in a checkout it is found beside the operator."""
    folder = checkout()
    if folder is None:
        return dict(environment)
    path = [str(folder), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}


def run_feed(arguments: Sequence[str]) -> None:
    """Become the feed."""
    command = feed_command(arguments)
    os.execve(command[0], command, feed_environment(os.environ))  # noqa: S606 - no shell is what is wanted
