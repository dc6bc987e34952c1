"""Signs of life of a stream: the difference between a quiet one, a deaf one, and a server that is away."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pulse"]


class Pulse:
    """When a stream was last heard, and when it last tried."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard = self._tried = clock()

    def heard(self) -> None:
        """An event, a bookmark, or the beginning of an answer came."""
        self._heard = self._tried = self._clock()

    def tried(self) -> None:
        """An attempt failed with a clear error: the stream is at work though it hears nothing."""
        self._tried = self._clock()

    @property
    def silent_seconds(self) -> float:
        """Seconds since anything was heard."""
        return self._clock() - self._heard

    @property
    def idle_seconds(self) -> float:
        """Seconds since anything was heard or tried; grows only where the stream's own task is stuck or gone."""
        return self._clock() - self._tried
