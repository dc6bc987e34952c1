"""One worker's log as a stream of stamped lines that survives a connection that breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from regatta.api import names
from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.text import clean

__all__ = ["Line", "LogSource", "Worker", "legible", "stream", "worker_of"]

_SILENCE_SECONDS: Final = 60.0
"""A follow that hears nothing for so long asks again: its connection may be half open."""
_RETRY_SECONDS: Final = 1.0
_MOST_RETRIES: Final = 30


@dataclass(frozen=True, slots=True, order=True)
class Worker:
    """One worker's pod."""

    attempt: int
    index: int
    pod: str
    uid: str
    has_log: bool
    """Whether its training container has run at all."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line as the container runtime stamped it."""

    stamp: str
    """RFC 3339 with nanoseconds, so that lines of several workers sort by it."""
    text: str


class LogSource(Protocol):
    """What a stream reads from: the cluster, in a test a list."""

    def log(self, pod: str, *, query: Mapping[str, str], read_seconds: float) -> Iterator[bytes]:
        """Raw lines of a pod's training container."""


def worker_of(pod: Mapping[str, Any]) -> Worker:
    """The worker that a pod of ours is."""
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    state = next((entry.get("state") or {} for entry in statuses if entry.get("name") == names.TRAINER), {})
    return Worker(
        attempt=_number(labels.get(names.LABEL_ATTEMPT)),
        index=_number(labels.get(names.LABEL_WORKER)),
        pod=metadata["name"],
        uid=metadata["uid"],
        has_log="running" in state or "terminated" in state,
        ended="terminated" in state,
    )


def stream(
    source: LogSource,
    worker: Worker,
    *,
    follow: bool,
    tail: int | None = None,
    has_ended: Callable[[Worker], bool] = lambda worker: worker.ended,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """Lines of the worker; with `follow` until its container has ended, over as many connections as it takes."""
    last = ""
    retries = 0
    while True:
        # A container that has ended before the request has written all it ever will.
        final = has_ended(worker) or not follow
        seen = last
        query = {"timestamps": "true", "follow": str(follow).lower()}
        if last:
            query["sinceTime"] = last
        elif tail is not None:
            query["tailLines"] = str(tail)
        try:
            for raw in source.log(worker.pod, query=query, read_seconds=_SILENCE_SECONDS):
                stamp, _, text = raw.decode(errors="replace").partition(" ")
                if stamp > seen:
                    # sinceTime counts whole seconds, so what an earlier connection brought may come again.
                    last, retries = stamp, 0
                    yield Line(stamp, text)
        except NotFoundError:
            return
        except ClusterError:
            retries += 1
            if not follow or retries > _MOST_RETRIES:
                raise
            final = False
        if final:
            return
        pause(_RETRY_SECONDS)


def legible(text: str) -> str:
    """A log line for a terminal: of a progress bar that rewrites itself only its last state, and no control codes."""
    shown = [part for part in text.rstrip("\r").split("\r") if part.strip()]
    return clean(shown[-1] if shown else "")


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else -1
