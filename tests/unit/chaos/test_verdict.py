"""A campaign is judged by what was seen; each kind of wrong is told, with the job that it is about."""

import random
from collections.abc import Callable

import pytest

from tests.chaos.accounts import POD_DELETED
from tests.chaos.campaign import Subject
from tests.chaos.jobs import Plan, draw
from tests.chaos.verdict import OPERATOR, judge

Pods = dict[tuple[str, str, str], set[str]]


def drawn(name: str, *, doomed: bool) -> Plan:
    choice = random.Random(7)
    while (plan := draw(name, choice, image="image:1")).doomed is not doomed:
        pass
    return plan


def subject(name: str = "job-1", *, attempt: int = 2) -> Subject:
    """A job that lost a pod, and is at its end."""
    plan = drawn(name, doomed=False)
    made = Subject(plan=plan, account=plan.account(), most=1)
    made.account.attempts.append(POD_DELETED)
    counts = {"PodDeleted": 1}
    made.status = {"phase": "Succeeded", "reason": "Completed", "attempt": attempt, "failureCounts": counts}
    return made


def pods(of: Subject) -> Pods:
    """One pod for each worker of each attempt."""
    attempts = range(1, of.status["attempt"] + 1)
    keys = [(of.name, str(attempt), str(worker)) for attempt in attempts for worker in range(of.plan.workers)]
    return {key: {"-".join(key)} for key in keys}


def test_a_job_whose_books_and_pods_are_as_they_must_be_is_no_news() -> None:
    seen = subject()

    assert judge([seen], pods=pods(seen), running={}).good


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda seen: seen[1][("job-1", "2", "0")].add("again"), "had 2 pods", id="a pod created twice"),
        pytest.param(
            lambda seen: seen[1].update({("job-1", "3", "0"): {"new"}}), "attempt 3", id="an attempt too many"
        ),
        pytest.param(lambda seen: seen[1].pop(("job-1", "2", "1")), "workers [1]", id="a worker that never was"),
        pytest.param(lambda seen: seen[2].update({"job-1": ["7 python"]}), "7 python", id="a process that is left"),
        pytest.param(lambda seen: seen[0].status.update(phase="Running"), "phase is Running", id="no end"),
        pytest.param(lambda seen: seen[0].status.update(failureCounts={}), "failureCounts", id="a fault not counted"),
    ],
)
def test_everything_that_is_wrong_is_told(change: Callable[..., object], words: str) -> None:
    other = subject("job-2")
    running: dict[str, list[str]] = {}
    seen = (subject(), pods(subject()) | pods(other), running)
    change(seen)

    verdict = judge([seen[0], other], pods=seen[1], running=seen[2])

    assert list(verdict.wrong) == ["job-1"]
    assert any(words in told for told in verdict.wrong["job-1"])


def test_a_mistake_of_the_operator_is_wrong_whatever_became_of_the_jobs() -> None:
    seen = subject()

    verdict = judge([seen], pods=pods(seen), running={}, mistakes=["Traceback"])

    assert verdict.wrong == {OPERATOR: ["Traceback"]}


def test_a_job_that_is_to_fail_is_wrong_when_it_succeeds() -> None:
    plan = drawn("job-1", doomed=True)
    made = Subject(plan=plan, account=plan.account(), most=0)
    made.status = {"phase": "Succeeded", "reason": "Completed", "attempt": 1}

    told = judge([made], pods={("job-1", "1", str(worker)): {"a"} for worker in range(3)}, running={}).wrong["job-1"]

    assert "phase is Succeeded, not Failed" in told
