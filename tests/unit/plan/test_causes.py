"""Each way a pod can fail, and the cause it is called by."""

from __future__ import annotations

import json

import pytest

from regatta.plan.causes import first_failure
from regatta.plan.crew import Crew
from regatta.plan.report import read_report
from tests.builders import NOW, UID, PodBuilder, pod, seconds


def crew(*pods: PodBuilder, desired: int | None = None) -> Crew:
    return Crew.muster([p.obj() for p in pods], uid=UID, attempt=1, desired=desired or len(pods))


def message(**fields: object) -> str:
    return json.dumps({"version": 1, "outcome": "Failed", "cause": "UserError", **fields})


@pytest.mark.parametrize(
    ("failed", "cause", "words"),
    [
        pytest.param(pod().ended(3), "UserError", "exit code 3", id="program without a launcher"),
        pytest.param(
            pod().ended(1, message="Traceback\nValueError: bad"), "UserError", "ValueError: bad", id="last words"
        ),
        pytest.param(
            pod().ended(3, message=message(message="rank 5 ended with 3")), "UserError", "rank 5", id="told by the crew"
        ),
        pytest.param(
            pod().ended(143, message=json.dumps({"version": 1, "outcome": "Terminated", "exitCode": 143})),
            "UserError",
            "told to stop by a signal, though nobody deleted its pod",
            id="a signal from nobody",
        ),
        pytest.param(pod().ended(137), "UserError", "137", id="137 alone is not out of memory"),
        pytest.param(pod().ended(137, reason="OOMKilled"), "OOMKilled", "limits.memory", id="memory, by reason"),
        pytest.param(
            pod().ended(137, message=message(cause="OOMKilled")),
            "OOMKilled",
            "memory",
            id="memory, seen by the launcher",
        ),
        pytest.param(
            pod().ended(127, reason="StartError", message='exec: "python3": not found'),
            "ConfigError",
            "python3",
            id="image cannot start the command",
        ),
        pytest.param(
            pod().ended(128, reason="StartError", message="failed to write to cgroup.procs: busy"),
            "UserError",
            "cgroup.procs",
            id="node cannot start the container",
        ),
        pytest.param(
            pod().ended(127, message=message(cause="CommandNotFound", message="command not found: traim.py")),
            "ConfigError",
            "traim.py; correct spec.command",
            id="launcher finds no such command",
        ),
        pytest.param(
            pod().ended(78, message=message(cause="ConfigError", message="rank 0 cannot train as this job asks")),
            "ConfigError",
            "rank 0 cannot train",
            id="does not fit its job",
        ),
        pytest.param(
            pod().ended(72, message=message(message="mine")), "UserError", "mine", id="the code is the user's"
        ),
        pytest.param(
            pod().ended(72, message=message(cause="WorkerLost", message="worker 3 is lost")),
            "CrewLost",
            "worker 3",
            id="lost its crew",
        ),
        pytest.param(
            pod().scheduled().of(phase="Failed", reason="Evicted"), "Evicted", "node1", id="evicted by kubelet"
        ),
        pytest.param(
            pod().joined().deleting().of(disruption="EvictionByEvictionAPI"), "Evicted", "node1", id="evicted by drain"
        ),
        pytest.param(
            pod().joined().deleting().of(disruption="PreemptionByScheduler"), "Preempted", "node1", id="preempted"
        ),
        pytest.param(
            pod().joined().deleting().of(disruption="DeletionByTaintManager"), "NodeLost", "node1", id="node lost"
        ),
        pytest.param(pod().ended(143).of(reason="Terminated"), "NodeShutdown", "node1", id="node shut down"),
        pytest.param(
            pod().scheduled().of(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu"),
            "AdmissionRejected",
            "enough resource",
            id="refused by its node",
        ),
        pytest.param(pod().joined().deleting(), "PodDeleted", "deleted by somebody", id="deleted while training"),
        pytest.param(pod().ended(143).deleting(), "PodDeleted", "deleted by somebody", id="deleted and ended"),
        pytest.param(pod().deleting(), "PodDeleted", "deleted by somebody", id="deleted before it had a node"),
        pytest.param(
            pod().scheduled().of(phase="Failed"), "CreateError", "before its container", id="no reason at all"
        ),
    ],
)
def test_a_failed_pod_is_called_by_its_cause(failed: PodBuilder, cause: str, words: str) -> None:
    verdict = first_failure(crew(failed), all_created=True, now=NOW)
    assert verdict is not None
    assert verdict.cause == cause
    assert words in verdict.message


@pytest.mark.parametrize(
    "healthy",
    [
        pytest.param(pod(), id="pending"),
        pytest.param(pod().joined(), id="training"),
        pytest.param(pod().ended(0), id="succeeded"),
        pytest.param(pod().ended(0).deleting(), id="succeeded, then deleted"),
        pytest.param(pod().ended(0).of(phase="Failed"), id="succeeded, but a sidecar failed"),
    ],
)
def test_what_can_still_train_or_is_done_is_no_failure(healthy: PodBuilder) -> None:
    assert first_failure(crew(healthy), all_created=True, now=NOW) is None


def test_the_earliest_failure_is_the_cause() -> None:
    late = pod(worker=0).ended(1, at=NOW + seconds(2))
    early = pod(worker=1).ended(9, at=NOW + seconds(1))
    verdict = first_failure(crew(late, early), all_created=True, now=NOW)
    assert verdict is not None
    assert (verdict.exit_code, verdict.pod) == (9, "job-a-1-1")


def test_a_culprit_beats_an_earlier_symptom() -> None:
    symptom = pod(worker=0).ended(72, at=NOW)
    culprit = pod(worker=1).ended(137, reason="OOMKilled", at=NOW + seconds(5))
    verdict = first_failure(crew(symptom, culprit), all_created=True, now=NOW)
    assert verdict is not None
    assert (verdict.cause, verdict.symptom) == ("OOMKilled", False)


def test_a_crew_that_lost_a_worker_names_that_workers_pod() -> None:
    told = message(cause="WorkerLost", message="the launcher of worker 1 no longer answers", worker=1)
    verdict = first_failure(
        crew(pod(worker=0).ended(72, message=told), pod(worker=1).joined()), all_created=True, now=NOW
    )
    assert verdict is not None
    assert (verdict.cause, verdict.pod, verdict.symptom) == ("CrewLost", "job-a-1-1", True)


@pytest.mark.parametrize(
    ("launched", "failed", "cause"),
    [
        pytest.param(True, pod().ended(137), "CrewLost", id="our launcher"),
        pytest.param(True, pod().ended(137, message=message()), "UserError", id="a process of our launcher"),
        pytest.param(True, pod().ended(137, reason="OOMKilled"), "OOMKilled", id="memory"),
        pytest.param(True, pod().ended(137).deleting(), "PodDeleted", id="a deletion that took too long"),
        pytest.param(False, pod().ended(137), "UserError", id="a program of the user's own"),
    ],
)
def test_a_launcher_is_killed_only_from_outside(launched: bool, failed: PodBuilder, cause: str) -> None:
    witness = pod(worker=1).ended(72, at=NOW - seconds(1))
    verdict = first_failure(crew(failed, witness), all_created=True, launched=launched, now=NOW)
    assert verdict is not None
    assert (verdict.cause, verdict.pod, verdict.symptom) == (cause, "job-a-1-0", False)


@pytest.mark.parametrize(
    ("left", "cause"),
    [
        pytest.param(pod(worker=0).joined(), "PodDeleted", id="who has noticed nothing yet"),
        pytest.param(pod(worker=0).ended(72, at=NOW - seconds(9)), "PodDeleted", id="who lost its crew by that"),
        pytest.param(pod(worker=0).ended(3, at=NOW - seconds(9)), "UserError", id="who failed by itself"),
    ],
)
def test_a_missing_pod_explains_the_symptoms_of_those_who_are_left(left: PodBuilder, cause: str) -> None:
    verdict = first_failure(crew(left, desired=2), all_created=True, now=NOW)
    assert verdict is not None
    assert (verdict.cause, verdict.symptom) == (cause, False)
    assert verdict.at <= NOW


def test_a_missing_pod_is_a_failure_only_when_all_were_created() -> None:
    half = crew(pod(worker=0).joined(), desired=2)
    assert first_failure(half, all_created=False, now=NOW) is None
    verdict = first_failure(half, all_created=True, now=NOW)
    assert verdict is not None
    assert verdict.cause == "PodDeleted"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Traceback (most recent call last):",
        "{",
        "[1]",
        "{}",
        '{"version": 2, "outcome": "Failed"}',
        '{"version": 1, "outcome": 7}',
        '{"version": 1, "outcome": "Failed"' + " " * 5000 + "}",
    ],
)
def test_what_is_not_a_report_is_not_read_as_one(text: str) -> None:
    assert read_report(text) is None


def test_a_report_with_values_of_wrong_kinds_keeps_only_the_good_ones() -> None:
    told = read_report(
        '{"version": 1, "outcome": "Failed", "rank": -1, "exitCode": true, "message": 5, "restarts": "x"}'
    )
    assert told is not None
    assert (told.rank, told.exit_code, told.message, told.restarts) == (None, None, "", 0)
