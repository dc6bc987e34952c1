"""kopf, without what it would load and we never use.

kopf imports the kubernetes package where that is installed, only to recognise its models in arguments. That package
is half of all modules of the operator: half of its start-up time, and 60 MB of its memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["kopf"]


@contextmanager
def _absent(package: str) -> Iterator[None]:
    """Make an import of the package fail as if it were not installed, unless it is loaded already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


with _absent("kubernetes"):
    import kopf
