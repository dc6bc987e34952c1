"""A container runtime's words about a command that it cannot start, condensed, and what helps."""

from __future__ import annotations

import re
from typing import Final

from regatta.plan.words import MAX_READ, one_line

__all__ = ["CANNOT_START", "CORRECT_COMMAND", "cannot_start", "is_about_command"]

CANNOT_START: Final = "the image cannot start the command"
CORRECT_COMMAND: Final = "correct spec.command, or use an image that holds the program"

_WRAPPING: Final = re.compile(
    r"(?:failed to (?:create|start) (?:containerd|shim) task|OCI runtime \w{1,20} failed|runc create failed|crun"
    r"|unable to start container process|error during container init|container create failed): "
)
_LAYERS: Final = 16
_COMMAND: Final = re.compile(r"\bexec: |\bexecutable file\b|\bexec format error\b")
_PYTHON: Final = re.compile(r'exec: "?(?:\S{0,256}/)?python[\d.]*"?: ')


def cannot_start(words: str) -> str:
    """What an image lacks to start the command, and after the last semicolon what helps."""
    text = " ".join(words[:MAX_READ].split())
    for _ in range(_LAYERS):
        wrapping = _WRAPPING.match(text)
        if wrapping is None:
            break
        text = text[wrapping.end() :]
    if _PYTHON.search(text):
        fix = "use an image with Python 3.8 or newer, or set spec.runtime to Off and start the processes yourself"
    else:
        fix = CORRECT_COMMAND
    return f"{CANNOT_START}: {one_line(text) or 'no reason given'}; {fix}"


def is_about_command(words: str) -> bool:
    """Whether the image lacks the command or cannot execute it, which no other attempt will change.

    runc and containerd say `exec: "NAME": WHY`; crun says that it finds no executable file.
    """
    return _COMMAND.search(words[:MAX_READ]) is not None
