"""The job cache: the newest version wins, whoever brings it; a spec is parsed once a generation."""

from __future__ import annotations

from typing import Any

import pytest

from regatta.api.status import Phase
from regatta.control.handlers import JobFeed
from regatta.control.jobs import JobCache
from tests.builders import manifest

KEY = ("team", "job-a")


def raw(*, version: int = 1, generation: int = 1, uid: str = "uid-1", **more: Any) -> dict[str, Any]:
    job = manifest()
    job["metadata"] |= {
        "uid": uid,
        "resourceVersion": str(version),
        "generation": generation,
        "creationTimestamp": "2026-01-02T03:04:05Z",
    }
    return job | more


def test_a_job_is_kept_as_it_was_told() -> None:
    jobs = JobCache()
    assert jobs.put(raw(version=7, status={"phase": "Running", "attempt": 2}))
    cached = jobs.get(KEY)
    assert cached is not None
    assert (cached.resource_version, cached.job.uid, cached.deleting) == ("7", "uid-1", False)
    assert (cached.job.status.phase, cached.job.status.attempt) == (Phase.RUNNING, 2)
    assert cached.job.spec is not None


@pytest.mark.parametrize("version", [3, 5], ids=["older", "same"])
def test_an_older_or_equal_version_is_no_news(version: int) -> None:
    jobs = JobCache()
    jobs.put(raw(version=5, status={"attempt": 2}))
    assert not jobs.put(raw(version=version, status={"attempt": 1}))
    cached = jobs.get(KEY)
    assert cached is not None
    assert cached.job.status.attempt == 2


def test_versions_are_compared_as_numbers() -> None:
    jobs = JobCache()
    jobs.put(raw(version=9))
    assert jobs.put(raw(version=10))


def test_a_spec_is_parsed_again_only_for_a_new_generation() -> None:
    jobs = JobCache()
    jobs.put(raw(version=1))
    first = jobs.get(KEY)
    jobs.put(raw(version=2, status={"attempt": 1}))
    second = jobs.get(KEY)
    changed = raw(version=3, generation=2)
    changed["spec"]["workers"] = 5
    jobs.put(changed)
    third = jobs.get(KEY)
    assert first is not None
    assert second is not None
    assert third is not None
    assert second.job.spec is first.job.spec
    assert third.job.spec is not None
    assert third.job.spec.workers == 5


def test_a_job_of_the_same_name_and_generation_but_another_uid_is_parsed_anew() -> None:
    jobs = JobCache()
    jobs.put(raw(version=1))
    other = raw(version=2, uid="uid-2")
    other["spec"]["workers"] = 7
    jobs.put(other)
    cached = jobs.get(KEY)
    assert cached is not None
    assert cached.job.spec is not None
    assert cached.job.spec.workers == 7


def test_a_job_that_cannot_be_read_is_kept_with_what_is_wrong() -> None:
    jobs = JobCache()
    broken = raw()
    broken["spec"]["workers"] = 0
    jobs.put(broken)
    cached = jobs.get(KEY)
    assert cached is not None
    assert "workers" in str(cached.job.problems[0])


def test_the_end_of_an_older_job_of_that_name_is_ignored() -> None:
    jobs = JobCache()
    jobs.put(raw(version=2, uid="uid-2"))
    assert not jobs.remove(KEY, uid="uid-1")
    assert jobs.remove(KEY, uid="uid-2")
    assert jobs.get(KEY) is None


def test_a_deletion_that_is_held_back_is_known() -> None:
    jobs = JobCache()
    job = raw()
    job["metadata"]["deletionTimestamp"] = "2026-01-02T03:05:00Z"
    jobs.put(job)
    cached = jobs.get(KEY)
    assert cached is not None
    assert cached.deleting


def test_the_feed_queues_what_is_news_and_nothing_else() -> None:
    jobs = JobCache()
    queued: list[tuple[str, str]] = []
    feed = JobFeed(jobs, changed=queued.append)
    feed.take(None, raw(version=1))
    feed.take("MODIFIED", raw(version=1))
    feed.take("MODIFIED", raw(version=2))
    feed.take("DELETED", raw(version=3))
    feed.take("DELETED", raw(version=3))
    assert queued == [KEY, KEY, KEY]


def test_jobs_are_counted_by_namespace_framework_and_phase() -> None:
    jobs = JobCache()
    jobs.put(raw(status={"phase": "Running"}))
    assert jobs.counts() == {("team", "PyTorch", "Running"): 1}


def test_a_job_that_defeats_the_parser_is_refused_and_not_ignored() -> None:
    jobs = JobCache()
    nested: Any = {}
    for _ in range(5000):
        nested = {"a": nested}
    broken = raw()
    broken["spec"]["podTemplate"] = {"spec": nested}
    assert jobs.put(broken)
    cached = jobs.get(KEY)
    assert cached is not None
    assert cached.job.problems
