"""Worker 0's extra part: the coordinator and its port, for as long as any launcher of the crew needs them."""

from __future__ import annotations

import contextlib
import resource
from typing import Callable, List

from regatta_runtime.crew.coordinator import Coordinator, Rules
from regatta_runtime.crew.ports import fresh_port
from regatta_runtime.crew.service import Service
from regatta_runtime.environment import Config
from regatta_runtime.loop import Loop

GONE_SECONDS = 3.0  # a launcher whose connection broke comes back within a fraction of one
STOP_SECONDS = 30.0  # beyond the grace: for processes that take long to die (gigabytes of memory to give back)
RETRY_SECONDS = 1.0


class Host:
    """Opens the crew's port, again and again where something else holds it, and keeps it to the end."""

    def __init__(self, *, loop: Loop, config: Config, say: Callable[[str], None]) -> None:
        self._loop = loop
        self._port = config.coordinator[1]
        self._workers = config.workers
        self._say = say
        self._used: List[int] = [config.coordinator[1], config.metrics_port]
        self._closed = False
        self.trouble = ""
        rules = Rules(
            shape=(config.attempt, config.workers, config.processes),
            restarts=config.restarts,
            join_timeout=config.join_timeout,
            lost_after=config.lost_after,
            gone_after=min(GONE_SECONDS, config.lost_after),
            stop_limit=config.kill_grace + STOP_SECONDS,
            fatal_exit_codes=config.fatal_exit_codes,
            fatal_oom=config.fatal_oom,
        )
        coordinator = Coordinator(rules, now=loop.now(), pick_port=self._pick_port)
        self._service = Service(loop=loop, coordinator=coordinator, token=config.token)

    def open(self) -> None:
        """Listen as soon as the port can be had."""
        if self._closed:
            return
        _allow_descriptors(4 * self._workers + 128)
        try:
            self._service.open(self._port)
        except OSError as problem:
            if not self.trouble:
                self.trouble = f"port {self._port}, where the crew meets, cannot be opened: {problem.strerror}"
                self._say(self.trouble + "; trying again")
            self._loop.later(RETRY_SECONDS, self.open)
        else:
            self.trouble = ""

    def close(self) -> None:
        """Stop answering."""
        self._closed = True
        self._service.close()

    def when_all_left(self, limit: float, callback: Callable[[], None]) -> None:
        """Call back once every other launcher has closed its connection, or after `limit` seconds."""
        self._service.when_all_left(limit, callback)

    def _pick_port(self) -> int:
        self._used.append(fresh_port(frozenset(self._used)))
        return self._used[-1]


def _allow_descriptors(wanted: int) -> None:
    """Raise the soft limit of open files where a large crew needs more than the usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
