"""When a worker's feed can give no more batches: what its sidecar's ends say.

The kubelet restarts a sidecar that died, and the program waits for it: so one death alone is no failure. What would
happen again for sure is told at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from regatta.api import names
from regatta.api.status import Cause
from regatta.plan.crew import Crew, has_succeeded
from regatta.plan.model import ContainerFacts, LastEnd, PodFacts
from regatta.plan.verdict import Verdict

__all__ = ["FEED_DEATHS", "feed_failure"]

FEED_DEATHS: Final = 3
"""Restarts of a sidecar in one pod that are waited for; the kubelet pauses longer before each."""
EXIT_CANNOT_START: Final = 2
EXIT_OUT_OF_MEMORY: Final = 3
"""Exit codes of the feed (docs/feed.md); a worker process of it may be what the kernel killed."""
_MAX_WORDS: Final = 512


def feed_failure(crew: Crew, *, now: datetime) -> Verdict | None:
    """Return the failure of the first feed that cannot go on, None while all can."""
    found = [
        verdict
        for pod in crew.members.values()
        if pod.deleting_since is None and not has_succeeded(pod)
        if (verdict := _verdict(pod, now=now)) is not None
    ]
    return min(found, key=lambda verdict: verdict.at, default=None)


def _verdict(pod: PodFacts, *, now: datetime) -> Verdict | None:
    feed = next((c for c in pod.containers if c.init and c.name == names.FEED), None)
    end = None if feed is None else _end(feed)
    if feed is None or end is None:
        return None
    who = f"the sidecar {names.FEED} of worker {pod.worker}"
    if end.reason == "OOMKilled" or end.exit_code == EXIT_OUT_OF_MEMORY:
        cause = Cause.OOM_KILLED
        message = f"{who} was killed for memory; raise spec.preprocessing.resources.limits.memory"
    elif end.exit_code == EXIT_CANNOT_START:
        cause, message = Cause.CONFIG_ERROR, f"{who} cannot start: {_words(end)}"
    elif feed.restart_count >= FEED_DEATHS:
        cause = Cause.USER_ERROR
        message = f"{who} ended {feed.restart_count} times, the last time with exit code {end.exit_code}: {_words(end)}"
    else:
        return None
    # Without the exit code: those in spec.restart.rules are the program's.
    return Verdict(cause=cause, message=message, at=end.at or now, pod=pod.name, node=pod.node)


def _end(feed: ContainerFacts) -> LastEnd | None:
    if feed.exit_code is None:
        return feed.last
    return LastEnd(
        exit_code=feed.exit_code,
        reason=feed.terminated_reason,
        message=feed.termination_message,
        at=feed.finished_at,
    )


def _words(end: LastEnd) -> str:
    """The feed's last line, without who says it."""
    lines = end.message.strip().splitlines()
    return lines[-1].removeprefix("regatta-feed: ")[:_MAX_WORDS] if lines else "it left no words"
