"""The launcher's end of what processes tell of themselves: keeps the newest record of each."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Set, Union

from regatta_runtime.loop import READ, Loop
from regatta_runtime.measure.ledger import Ledger
from regatta_runtime.measure.story import Story
from regatta_runtime.termination import timestamp

DATAGRAM_LIMIT = 8192
BATCH = 64
REFUSAL_LIMIT = 900  # characters: with what the launcher says around it, a message between launchers

Number = Union[int, float]


class Progress(NamedTuple):
    """How far training is, as its lowest reporting local rank says."""

    step: Optional[int] = None
    total_steps: Optional[int] = None
    epoch: Optional[Number] = None
    updated_at: Optional[float] = None  # the wall clock's
    stepped_at: Optional[float] = None  # the loop's time at which the step was first reported


class Inbox:
    """A datagram socket under a name that nobody can guess; the name goes to the processes in their environment."""

    def __init__(
        self, loop: Loop, ranks: range, *, world_size: int, usage: Callable[[], Dict[str, float]] = dict
    ) -> None:
        self.name = ""
        self._loop = loop
        self._ranks = ranks
        self._world_size = world_size
        self._usage = usage
        self._newest: Dict[int, Progress] = {}
        self._moved: Set[int] = set()  # ranks that have reported a step in this generation
        self._refusal = ""
        self.ledger = Ledger(loop.now)
        self._story = Story(loop.now)
        self._sock: Optional[socket.socket] = None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = "regatta-" + os.urandom(12).hex()
        try:
            sock.bind("\0" + name)
        except OSError:
            sock.close()  # no abstract sockets here: training goes on without progress
            return
        sock.setblocking(False)
        self.name = name
        self._sock = sock
        loop.watch(sock, READ, self._ready)

    def begin_generation(self) -> None:
        """Take the next step of each rank for a new one: a restarted training does some steps again."""
        self.catch_up()
        self._moved.clear()
        self._refusal = ""
        self.ledger.begin_generation()
        self._story.begin_generation()

    def page(self) -> Dict[str, Any]:
        """How far training is and how it goes, as `/progress` shows it."""
        newest = self._lowest()
        # A duration, so that whoever asks needs no clock in common with this node.
        age = None if newest.stepped_at is None else round(self._loop.now() - newest.stepped_at, 3)
        return {
            "step": self._step(newest),
            "totalSteps": newest.total_steps,
            "epoch": newest.epoch,
            "updatedAt": timestamp(newest.updated_at) if newest.updated_at else None,
            "stepAgeSeconds": age,
            "globalStep": self.ledger.global_step(),
            "pace": self._pace(),
            "time": self._time(),
        }

    def last_words(self) -> Dict[str, Any]:
        """The same for the termination message; only what there is."""
        self.catch_up()
        newest, pace = self._lowest(), self._pace()
        step, known = self._step(newest), self.ledger.global_step()
        told = {"step": step, "totalSteps": newest.total_steps, "epoch": newest.epoch}
        words = {"progress": {} if step is None else told, "globalStep": known, "pace": pace, "time": self._time()}
        return {key: value for key, value in words.items() if value}

    def refusal(self) -> str:
        """Why the hooks in some process of this generation did not let it train; empty when they did."""
        self.catch_up()
        return self._refusal

    def catch_up(self) -> None:
        """Read what a process said before it ended: it may still wait here when that end is noticed."""
        self._ready(READ)

    def _lowest(self) -> Progress:
        """The lowest reporting rank's last word; empty before there is one."""
        return self._newest[min(self._newest)] if self._newest else Progress()

    def _step(self, newest: Progress) -> Optional[int]:
        """The program's own words, or what was counted where it has none."""
        return self.ledger.global_step() if newest.step is None else newest.step

    def _pace(self) -> Dict[str, float]:
        pace = self.ledger.pace()
        return {**pace.to_json(processes=self._world_size), **self._usage()} if pace is not None else {}

    def _time(self) -> Dict[str, Any]:
        return self._story.to_json(self.ledger.total().get(self._ranks.start))

    def _ready(self, mask: int) -> None:
        for _ in range(BATCH if self._sock is not None else 0):
            try:
                data = self._sock.recv(DATAGRAM_LIMIT)
            except OSError:
                return
            try:
                self._take(json.loads(data.decode("utf-8")))
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue

    def _take(self, raw: Dict[str, Any]) -> None:
        rank = raw.get("rank")
        if not isinstance(rank, int) or rank not in self._ranks:
            return
        refusal = raw.get("refusal")
        if isinstance(refusal, str):
            self._refusal = self._refusal or refusal[:REFUSAL_LIMIT]
            return
        if "measured" in raw:
            reading = self.ledger.take(rank, raw["measured"])
            if rank == self._ranks.start:
                self._story.take(reading)
            return
        old = self._newest.get(rank, Progress())
        step, total, epoch = (_sane(raw.get(key)) for key in ("step", "totalSteps", "epoch"))
        stepped_at = old.stepped_at
        # Saying the same step again and again is no progress.
        if step is not None and (int(step) != old.step or rank not in self._moved):
            self._moved.add(rank)
            stepped_at = self._loop.now()
        self._newest[rank] = Progress(
            step=old.step if step is None else int(step),
            total_steps=old.total_steps if total is None else int(total),
            epoch=old.epoch if epoch is None else epoch,
            updated_at=time.time(),
            stepped_at=stepped_at,
        )


def _sane(value: Any) -> Optional[Number]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number and 0 <= value < 2**53 else None
