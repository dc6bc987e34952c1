"""When a sidecar that dies is waited for, and when it is the attempt's failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from regatta.api.status import Phase, TrainingJobStatus
from regatta.kube.records import pod_facts
from regatta.plan.model import ContainerFacts, LastEnd, Plan, PodFacts
from regatta.plan.plan import plan
from tests.builders import NOW, JobBuilder, PodBuilder, job, observed, pod, seconds

BLOCK = {
    "source": {"uri": "s3://bucket/train", "format": "ImageFolder"},
    "pipeline": [{"decodeImage": {}}, {"randomResizedCrop": {"size": 32}}],
    "batchSize": 8,
}


def fed() -> JobBuilder:
    running = TrainingJobStatus(attempt=1, phase=Phase.RUNNING, running_since=NOW)
    builder = job(preprocessing=BLOCK).workers(1).with_status(running)
    return builder.with_status(workers=running.workers.model_copy(update={"created": 1}))


def beside(builder: PodBuilder, **feed: Any) -> PodFacts:
    """The pod, with a sidecar in the given state."""
    facts = builder.obj()
    sidecar = ContainerFacts(**{"name": "feed", "init": True, **feed})
    return replace(facts, containers=(sidecar, *facts.containers))


def after(facts: PodFacts) -> Plan:
    return plan(fed().obj(), observed(facts), NOW + seconds(1))


def died(code: int, *, reason: str = "Error", message: str = "", times: int = 1) -> dict[str, Any]:
    """A sidecar that runs again."""
    return {
        "running_since": NOW,
        "restart_count": times,
        "last": LastEnd(exit_code=code, reason=reason, message=message, at=NOW),
    }


@pytest.mark.parametrize("times", [1, 2])
def test_a_feed_that_the_kubelet_started_again_is_no_failure(times: int) -> None:
    status = after(beside(pod().joined(), **died(137, times=times))).status

    assert (status.phase, status.attempt, status.failures) == (Phase.RUNNING, 1, ())


def test_a_feed_that_dies_again_and_again_fails_the_attempt_with_its_last_words() -> None:
    words = "regatta-feed: starting\nregatta-feed: /data/train: No such file or directory\n"
    status = after(beside(pod().joined(), **died(1, message=words, times=3))).status

    assert (status.phase, status.attempt) == (Phase.RESTARTING, 2)
    [failure] = status.failures
    assert failure.cause == "UserError"
    assert "the sidecar feed of worker 0 ended 3 times" in failure.message
    assert failure.message.endswith(": /data/train: No such file or directory")


@pytest.mark.parametrize(
    "feed",
    [
        pytest.param(died(137, reason="OOMKilled"), id="its first process, and it runs again"),
        pytest.param(died(3), id="one of its workers"),
        pytest.param({"exit_code": 137, "terminated_reason": "OOMKilled", "finished_at": NOW}, id="just now"),
    ],
)
def test_a_feed_that_was_killed_for_memory_is_named(feed: dict[str, Any]) -> None:
    status = after(beside(pod().joined(), **feed)).status

    [failure] = status.failures
    assert (failure.cause, failure.exit_code) == ("OOMKilled", None)
    assert "sidecar feed of worker 0" in failure.message
    assert "spec.preprocessing.resources.limits.memory" in failure.message
    assert status.failure_counts == {"OOMKilled": 1}


def test_a_pipeline_that_the_feed_refuses_fails_the_job_before_the_program_has_begun() -> None:
    words = "regatta-feed: spec.preprocessing.pipeline[1].randomResizedCrop.size: must be a whole number"
    status = after(beside(pod().started(), **died(2, message=words))).status

    assert (status.phase, status.reason) == (Phase.FAILED, "ConfigError")
    assert "spec.preprocessing.pipeline[1].randomResizedCrop.size" in (status.message or "")


def test_a_program_that_fails_because_its_feed_did_is_not_the_cause() -> None:
    program = pod().ended(1, at=NOW + seconds(1), message="the feed gave up")
    status = after(beside(program, **died(3))).status

    [failure] = status.failures
    assert "sidecar feed" in failure.message


def test_a_program_that_fails_before_its_feed_dies_is_the_cause() -> None:
    status = after(beside(pod().ended(1, at=NOW - seconds(1)), **died(3))).status

    [failure] = status.failures
    assert failure.cause == "UserError"
    assert "sidecar" not in failure.message


def test_a_feed_says_nothing_of_a_worker_that_has_succeeded() -> None:
    assert after(beside(pod().ended(0), **died(3))).status.phase is Phase.SUCCEEDED


def test_a_records_last_end_is_read_from_the_pod() -> None:
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-02T03:04:05Z"}
    sidecar = {"name": "feed", "restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": ended}}
    [container] = pod_facts({"status": {"initContainerStatuses": [sidecar]}}).containers

    assert container.last == LastEnd(exit_code=137, reason="OOMKilled", at=NOW)
