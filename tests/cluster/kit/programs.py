"""Training programs that tests put into jobs, and what those print."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["program", "results"]

_FOLDER = Path(__file__).parent.parent / "programs"
_RESULT = re.compile(r"RESULT (\{.*\})$", re.MULTILINE)


def program(name: str) -> str:
    """Text of programs/NAME.py."""
    return (_FOLDER / f"{name}.py").read_text()


def results(log: str) -> list[dict[str, Any]]:
    """The facts that the processes of a pod printed at their end."""
    return [json.loads(found) for found in _RESULT.findall(log)]
