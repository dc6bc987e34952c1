"""What happens to the operator alone, and must change nothing: its death, and trouble on its way to the API server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from tests.chaos.operator import Operator
from tests.cluster.machine_room.faults import Delay, Refuse
from tests.cluster.machine_room.proxy import FaultProxy

__all__ = ["Weather"]

_WATCHED: Final = ("pods", "trainingjobs")


class Weather:
    """One trouble at a time; each ends by itself."""

    def __init__(self, *, operator: Operator, proxy: FaultProxy, choice: random.Random) -> None:
        self._operator = operator
        self._proxy = proxy
        self._choice = choice
        self._clears: Callable[[], None] | None = None
        self._until = 0.0

    @property
    def bad(self) -> bool:
        """Whether some trouble still lasts."""
        return self._clears is not None

    def worsen(self) -> str:
        """Begin some trouble; returns what."""
        kinds = {
            "kill the operator": (3, self._kill),
            "storm of faulty answers": (3, self._storm),
            "API server refuses everything": (1, self._refuse),
            "requests hang": (1, self._hang),
            "watches cut": (2, lambda: self._proxy.cut(self._choice.choice(_WATCHED))),
            "watches expire": (2, lambda: self._proxy.expire(self._choice.choice(_WATCHED))),
            "watches go deaf": (2, lambda: self._proxy.deafen(self._choice.choice(_WATCHED))),
        }
        [kind] = self._choice.choices(tuple(kinds), weights=[weight for weight, _ in kinds.values()])
        kinds[kind][1]()
        return kind

    def pass_by(self) -> None:
        """End what has lasted long enough, and have the operator started again where it has ended by itself."""
        if self._clears is None:
            self._operator.tend()
        elif time.monotonic() >= self._until:
            self.clear()

    def clear(self) -> None:
        """End whatever lasts."""
        if self._clears is not None:
            self._clears()
            self._clears = None

    def _last(self, seconds: float, clears: Callable[[], None]) -> None:
        self._until = time.monotonic() + seconds
        self._clears = clears

    def _kill(self) -> None:
        self._operator.kill()
        self._operator.killed += 1
        self._last(self._choice.uniform(0, 4), self._operator.start)

    def _storm(self) -> None:
        storm = self._proxy.storm(seed=self._choice.randrange(2**32), share=self._choice.uniform(0.05, 0.3))
        self._last(self._choice.uniform(4, 10), storm.stop)

    def _refuse(self) -> None:
        self._last(self._choice.uniform(1, 6), self._proxy.inject(Refuse(503)).stop)

    def _hang(self) -> None:
        """As behind a half-open connection, for as long as those who ask have patience, and longer."""
        self._last(self._choice.uniform(1, 6), self._proxy.inject(Delay(60.0)).stop)
