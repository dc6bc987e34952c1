"""What all tests share."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import settings

# On a build machine every run hunts on the same paths: a red build is a change's fault, never a lucky draw's.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# looptime asks for the current loop in tests without one as well; up to Python 3.13 asking makes one, never closed.
asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that look at what all others left behind at the end."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
