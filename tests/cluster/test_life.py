"""Suspend, the four deadlines, TTL and clean-up on a real cluster, with an operator that is killed in between.

All jobs are applied at once, the leader is killed while their clocks run, and each test asks for its own job's end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.cluster.kit import Installation, Playground, job, program, wait_for

pytestmark = pytest.mark.cluster

LIMIT = 8
"""Seconds of every deadline here: longer than an operator needs to be killed and replaced."""
LATE = 12.0
"""Seconds by which a busy machine, and a successor that has just begun to lead, may be late."""
SLEEPS = ("python3", "-c", "import time; time.sleep(3600)")
NOWHERE = {"nodeSelector": {"nowhere": "at-all"}}
TRAINS = ("python3", "-c", "print('trained')")

JOBS = (
    job("queued").command(*SLEEPS).set(deadlines={"queued": LIMIT}, scheduling=NOWHERE),
    job("starting").image("localhost/there/is-no-such-image:1").command(*SLEEPS).set(deadlines={"starting": LIMIT}),
    job("active").command(*SLEEPS).set(deadlines={"active": LIMIT}),
    job("stalled")
    .source(train=program("stalls"))
    .env(STEPS="5")
    .set(deadlines={"stalled": LIMIT}, restart={"maxRestarts": 0}),
    job("ttl").command(*TRAINS).set(ttlSecondsAfterFinished=LIMIT),
    job("ttl-of-a-refused-one")
    .command(*TRAINS)
    .set(ttlSecondsAfterFinished=LIMIT, volumeMounts=[{"name": "nothing", "mountPath": "/nothing"}]),
    job("suspended").workers(2).command(*SLEEPS),
    job("suspended-from-the-start").command(*TRAINS).set(suspend=True),
    job("cleanup-all").command(*TRAINS).set(cleanup="All"),
    job("cleanup-none")
    .workers(2)
    .source(train=program("ends_or_waits"))
    .set(cleanup="None", restart={"maxRestarts": 0}),
    job("rule")
    .command("python3", "-c", "raise SystemExit(42)")
    .set(restart={"maxRestarts": 5, "rules": [{"exitCodes": [42], "action": "Fail"}]}),
)


@pytest.fixture(scope="module")
def place(make_place: Callable[[str], Playground], installation: Installation) -> Playground:
    """All jobs on their way, and an operator that took over while they were."""
    made = make_place("life")
    for each in JOBS:
        made.apply(each)
    made.wait_phase("suspended", "Running", timeout=90)
    made.wait_phase("active", "Running", timeout=60)
    patch(made, "suspended", suspend=True)
    made.wait_phase("suspended", "Suspended", timeout=30)
    installation.kill_leader()
    return made


def patch(place: Playground, name: str, **spec: Any) -> None:
    place.api.patch("trainingjobs", name, {"spec": spec}, namespace=place.namespace)


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


@pytest.mark.pitfall(4)
def test_the_queued_deadline_fails_a_job_that_no_node_takes(place: Playground) -> None:
    status = place.wait_phase("queued", "Failed", timeout=60)
    waited = seconds_between(status["startTime"], status["completionTime"])

    assert status["reason"] == "QueuedDeadline"
    assert "spec.deadlines.queued" in status["message"]
    assert "node" in status["message"]
    assert LIMIT <= waited <= LIMIT + LATE
    wait_for("its pod to be gone", lambda: not place.pods("queued"), timeout=20)


@pytest.mark.pitfall(5)
def test_the_starting_deadline_fails_a_job_whose_image_never_comes(place: Playground) -> None:
    status = place.wait_phase("starting", "Failed", timeout=60)

    assert status["reason"] == "StartingDeadline"
    assert "is-no-such-image" in status["message"]
    assert LIMIT <= seconds_between(status["startTime"], status["completionTime"]) <= LIMIT + LATE


def test_the_active_deadline_counts_from_running_whoever_watches(place: Playground) -> None:
    status = place.wait_phase("active", "Failed", timeout=60)

    assert status["reason"] == "ActiveDeadline"
    assert LIMIT <= seconds_between(status["runningSince"], status["completionTime"]) <= LIMIT + LATE


@pytest.mark.pitfall(29)
def test_the_stall_deadline_fails_a_program_that_hangs_and_does_not_listen(place: Playground) -> None:
    status = place.wait_phase("stalled", "Failed", timeout=90)

    assert status["reason"] == "Stalled"
    assert "step 5" in status["message"]
    assert status["failureCounts"] == {"Stalled": 1}


@pytest.mark.pitfall(3)
def test_a_suspended_job_holds_nothing_and_resumes_with_a_new_attempt(place: Playground) -> None:
    wait_for("its pods to be gone", lambda: not place.pods("suspended"), timeout=60)
    rested = place.status("suspended")
    assert (rested["phase"], rested["attempt"], rested["restartsUsed"]) == ("Suspended", 1, 0)

    patch(place, "suspended", suspend=False)
    status = place.wait_phase("suspended", "Running", timeout=60)

    assert (status["attempt"], status.get("failureCounts")) == (2, None)
    assert status["activeSeconds"] >= 0
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert (conditions["Suspended"], conditions["Running"]) == ("False", "True")
    place.delete("suspended")


def test_a_job_suspended_from_the_start_begins_when_it_is_let(place: Playground) -> None:
    name = "suspended-from-the-start"
    place.wait_phase(name, "Suspended", timeout=30)
    assert place.children(name) == []

    patch(place, name, suspend=False)

    assert place.wait_phase(name, "Succeeded", timeout=60)["attempt"] == 1


@pytest.mark.pitfall(20)
@pytest.mark.parametrize("name", ["ttl", "ttl-of-a-refused-one"])
def test_the_ttl_removes_an_ended_job_and_all_of_it(place: Playground, name: str) -> None:
    place.wait_gone(name, timeout=LIMIT + LATE + 30)


def test_cleanup_all_deletes_the_pods_of_an_ended_job(place: Playground) -> None:
    place.wait_phase("cleanup-all", "Succeeded", timeout=60)

    wait_for("its pods to be gone", lambda: not place.pods("cleanup-all"), timeout=30)
    assert place.status("cleanup-all")["phase"] == "Succeeded"


def test_cleanup_none_leaves_pods_as_they_are(place: Playground) -> None:
    place.wait_phase("cleanup-none", "Failed", timeout=90)
    time.sleep(2)  # the operator has had its chance

    pods = place.pods("cleanup-none")
    assert len(pods) == 2
    assert all("deletionTimestamp" not in pod["metadata"] for pod in pods)
    place.delete("cleanup-none")
    place.wait_gone("cleanup-none", timeout=60)


def test_a_rule_that_says_fail_ends_the_job_at_the_first_such_exit(place: Playground) -> None:
    status = place.wait_phase("rule", "Failed", timeout=60)

    assert (status["reason"], status["attempt"], status["restartsUsed"]) == ("UserError", 1, 1)
    assert "spec.restart.rules[0] says Fail" in status["message"]
    assert status["failures"][-1]["exitCode"] == 42
    assert status["failures"][-1]["action"] == "JobFailed"


@pytest.mark.pitfall(2)
def test_a_finished_job_is_never_created_again(place: Playground, installation: Installation) -> None:
    """Terminal states are latched: pods deleted behind the operator's back stay deleted."""
    name = place.apply(job("latched").command(*TRAINS))
    place.wait_phase(name, "Succeeded", timeout=60)
    for pod in place.pods(name):
        place.api.delete("pods", pod["metadata"]["name"], namespace=place.namespace, grace=0)
    installation.kill_leader()
    witness = place.apply(job("witness-of-latched").command(*TRAINS))
    place.wait_phase(witness, "Succeeded", timeout=60)

    assert place.pods(name) == []
    assert place.status(name)["phase"] == "Succeeded"
