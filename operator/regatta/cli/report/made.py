"""Whom a report asks, and what it does when one of them has no answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from regatta.cli.cluster import Cluster
from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.report.from_status import story_of
from regatta.cli.report.over_time import Window, found_window, gone_story, with_course
from regatta.cli.report.prometheus import Prometheus
from regatta.cli.report.story import Story
from regatta.cli.text import one_line
from regatta.errors import UsageError

__all__ = ["made_story", "past"]

AFTER: Final = timedelta(minutes=2)
"""What was scraped last of a job that has ended."""
_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def made_story(
    name: str,
    *,
    open_cluster: Callable[[], Cluster],
    namespace: str | None,
    prometheus: Prometheus | None,
    since: timedelta,
) -> Story:
    """The story of a job, by all who know something of it.

    Without a Prometheus it is the job's own; a job that is gone is Prometheus' alone.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{one_line(name, width=80)} is no name of a job: small letters, digits and hyphens")
    now, place, note = datetime.now(UTC), namespace or "default", ""
    job: dict[str, Any] | None = None
    try:
        cluster = open_cluster()
        now, place = cluster.time(), cluster.namespace
        job = cluster.job(name)
    except NotFoundError as error:
        if prometheus is None:
            raise NotFoundError(f"{error}; --prometheus URL tells of jobs that are gone") from error
    except ClusterError as error:
        if prometheus is None:
            raise
        note = f"The cluster could not be asked ({one_line(error)}): this is what Prometheus knows."
    if job is not None:
        story = story_of(job, now=now)
        return story if prometheus is None else with_course(story, prometheus, _life(story))
    assert prometheus is not None
    window = found_window(prometheus, place, name, since=(now - since).timestamp(), until=now.timestamp())
    story = gone_story(prometheus, place, name, window, now=now)
    return with_course(replace(story, notes=(note,)) if note else story, prometheus, window)


def past(text: str) -> timedelta:
    """How far to look back: 90m, 24h, 7d."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise UsageError(f"--since {one_line(text, width=40)}: write a time span such as 90m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _life(story: Story) -> Window:
    start = story.created_at or story.made_at
    end = min(story.made_at, story.ended_at + AFTER) if story.ended_at else story.made_at
    return Window(start=start.timestamp(), end=max(end.timestamp(), start.timestamp() + 60))
