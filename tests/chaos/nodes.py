"""Loses whole nodes, one at a time, and knows which attempts of which jobs that has ended."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from tests.cluster.kit import PodRecorder
from tests.cluster.tool import api as tool

__all__ = ["Nodes"]

SHORTEST: Final = tool.NODE_GRACE + 6.0
"""Seconds for which a node stays dead at least: a pod that was bound to it before it was called lost is evicted by
then, and could come to life otherwise."""

Attempt = tuple[str, int]
"""A job's name and the number of one of its attempts."""


@dataclass(kw_only=True)
class _Outage:
    node: str
    began: float
    spared: frozenset[str]
    """Uids of pods that had ended, or were on their way out, when the node died."""
    back: Future[None] | None = None
    told: set[Attempt] = field(default_factory=set)


class Nodes:
    """The nodes of the cluster, of which one may be dead."""

    def __init__(self, names: tuple[str, ...], *, recorder: PodRecorder, choice: random.Random) -> None:
        self._names = names
        self._recorder = recorder
        self._choice = choice
        self._outage: _Outage | None = None
        self._pool = ThreadPoolExecutor(max_workers=1)
        self.lost = 0
        self.wanted: str | None = None
        """The node that is to die as soon as its jobs bear it."""

    @property
    def dead(self) -> str | None:
        """The node that is dead, or not yet back for good."""
        return self._outage.node if self._outage else None

    def choose(self) -> None:
        """Want some node dead."""
        self.wanted = self._choice.choice(self._names)

    def kill(self, *, current: Callable[[dict[str, Any]], bool]) -> str:
        """Kill the node that is wanted dead; `current` tells pods whose attempt this ends. Returns how."""
        assert self.wanted is not None
        node, self.wanted = self.wanted, None
        there = self._recorder.ever_on(node)
        living = {pod["metadata"]["uid"]: pod for pod in self._recorder.living()}
        spared = frozenset(uid for uid in there if uid not in living or not current(living[uid]))
        self._outage = _Outage(node=node, began=time.monotonic(), spared=spared)
        unplugged = self._choice.random() < 0.5
        tool.kill_node(node, unplugged=unplugged)
        self.lost += 1
        return "without power" if unplugged else "all its processes"

    def newly_hit(self) -> list[Attempt]:
        """Attempts that had a pod on the dead node and were not told before."""
        outage = self._outage
        if outage is None or outage.back is not None:
            return []  # what is bound to a node that comes back was bound when it could live there
        hit = {attempt_of(pod) for uid, pod in self._recorder.ever_on(outage.node).items() if uid not in outage.spared}
        new = hit - outage.told
        outage.told |= hit
        return sorted(new)

    def tend(self, *, recovered: Callable[[Attempt], bool]) -> None:
        """Bring the node back when all attempts that it ended have been replaced."""
        outage = self._outage
        if outage is None:
            return
        if outage.back is None:
            if time.monotonic() - outage.began > SHORTEST and all(map(recovered, outage.told)):
                outage.back = self._pool.submit(tool.revive_node, outage.node)
        elif outage.back.done():
            outage.back.result()
            self._outage = None

    def heal(self) -> None:
        """Have all nodes alive again, whatever becomes of the campaign."""
        self._pool.shutdown()
        if self._outage is not None:
            tool.revive_node(self._outage.node)
            self._outage = None


def attempt_of(pod: dict[str, Any]) -> Attempt:
    """The job and attempt that a pod belongs to."""
    labels = pod["metadata"]["labels"]
    return labels["regatta.dev/job"], int(labels["regatta.dev/attempt"])
