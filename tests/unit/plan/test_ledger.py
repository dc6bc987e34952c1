"""What is booked where, case by case; that it always adds up is shown in tests/property/test_ledger.py."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from regatta.api.status import Phase, TrainingJobStatus
from regatta.plan.crew import Crew
from regatta.plan.ledger import STATES, goodput, slow_cycle, startup
from regatta.plan.model import Observed
from regatta.plan.plan import plan
from regatta.plan.report import CrewTime, CrewWords, read_time
from tests.builders import NOW, UID, crew, job, observed, pod, progress, seconds


def at(second: float) -> datetime:
    return NOW + seconds(second)


def told(second: float, *, elapsed: float, **spent: float) -> CrewWords:
    """What worker 0 said at a time."""
    return crew(heard_at=at(second), time=CrewTime(elapsed=elapsed, seconds=spent))


def running(second: float, **fields: Any) -> TrainingJobStatus:
    """A job that waited five seconds and trains since then."""
    status = TrainingJobStatus(phase=Phase.RUNNING, phase_since=at(5), attempt=1, start_time=NOW, running_since=at(5))
    return status.model_copy(update={"ledger": {"queued": 5.0}, **fields})


def look(status: TrainingJobStatus, world: Observed, second: float, **spec: Any) -> TrainingJobStatus:
    """The status wanted at a time."""
    return plan(job(workers=1, **spec).with_status(status).obj(), world, at(second)).status


def test_the_ledger_of_a_running_job_ends_where_its_program_told_last() -> None:
    world = observed(pod().joined(at(5)), crew=told(98, elapsed=93, init=3.0, step=80.0, data_wait=8.0))
    assert look(running(5), world, 100).ledger == {"queued": 5.0, "init": 3.0, "step": 80.0, "data_wait": 8.0}


def test_without_other_news_it_is_written_now_and_then() -> None:
    begun = look(running(5), observed(pod().joined(at(5)), crew=told(105, elapsed=100, init=1.0, step=99.0)), 105)
    soon = observed(pod().joined(at(5)), crew=told(115, elapsed=110, init=1.0, step=109.0))
    late = observed(pod().joined(at(5)), crew=told(116, elapsed=111, init=1.0, step=110.0))
    assert look(begun, soon, 115) == begun
    assert look(begun, late, 116).ledger == {"queued": 5.0, "init": 1.0, "step": 110.0}


@pytest.mark.parametrize(("known", "cycle"), [(0, 5), (40, 5), (300, 30), (600, 60), (1e6, 60)])
def test_the_longer_a_job_lives_the_less_often_its_ledger_is_written(known: float, cycle: float) -> None:
    assert slow_cycle(known) == cycle


def test_time_that_both_clocks_saw_is_booked_once() -> None:
    """The pod was seen to be ready two seconds after its processes had begun: that is rendezvous, and no init."""
    world = observed(pod().joined(at(5)), crew=told(100, elapsed=97, init=3.0, step=94.0))
    assert look(running(5), world, 100).ledger == {"queued": 5.0, "init": 1.0, "step": 94.0}


def test_a_program_cannot_have_spent_more_time_than_there_was() -> None:
    world = observed(pod().joined(at(5)), crew=told(100, elapsed=95, step=3e8, eval=1e8))
    ledger = look(running(5), world, 100).ledger
    assert sum(ledger.values()) == pytest.approx(100)
    assert ledger["step"] == pytest.approx(95 * 0.75)


def test_what_it_takes_back_stays_booked() -> None:
    first = look(running(5), observed(pod().joined(at(5)), crew=told(80, elapsed=75, step=75.0)), 80)
    again = look(first, observed(pod().joined(at(5)), crew=told(160, elapsed=155, step=10.0, eval=70.0)), 160)
    assert again.ledger == {"queued": 5.0, "step": 75.0, "eval": 70.0}


def test_a_program_without_the_runtime_is_unmeasured_while_it_runs() -> None:
    world = observed(pod().joined(at(5)))
    status = look(running(5), world, 100, runtime="Off", framework="Custom", image="example.test/app:1")
    assert status.ledger == {"queued": 5.0, "unmeasured": 95.0}
    assert "goodput" not in status.efficiency


def test_what_a_lost_worker_could_not_tell_any_more_is_unmeasured() -> None:
    before = running(5, ledger={"queued": 5.0, "step": 40.0}, attempt_ledger={"step": 40.0})
    status = look(before, observed(pod().joined(at(5)).deleting(at(90))), 100)
    assert status.attempt == 2
    assert status.ledger == {"queued": 5.0, "step": 40.0, "unmeasured": 45.0}
    assert status.attempt_ledger == {}


def test_last_words_tell_all_there_was_and_what_no_step_followed_is_idle() -> None:
    words = json.dumps({"version": 1, "outcome": "Succeeded", "time": {"elapsed": 80.0, "seconds": {"step": 70.0}}})
    status = look(running(5), observed(pod().ended(0, message=words, at=at(85)).of(scheduled_at=NOW)), 88)
    assert status.ledger == {"queued": 5.0, "step": 70.0, "idle": 10.0, "terminating": 3.0}
    assert status.efficiency["goodput"] == round(70 / 83, 4)


def test_a_suspended_job_ends_its_pods_and_then_waits_holding_nothing() -> None:
    spent = {"queued": 5.0, "step": 40.0}
    suspended = look(running(5, ledger=spent), observed(pod().joined(at(5))), 45, suspend=True)
    assert suspended.phase is Phase.SUSPENDED
    ending = look(suspended, observed(pod().joined(at(5)).deleting(at(45))), 50, suspend=True)
    assert ending.ledger == {**spent, "terminating": 5.0}
    gone = look(ending, observed(), 51, suspend=True)
    assert gone == ending, "waiting is no news"
    resumed = look(gone, observed(), 500)
    assert resumed.ledger == {"queued": 455.0, "step": 40.0, "terminating": 5.0}


def test_a_failure_costs_what_the_ledger_says_lies_between() -> None:
    """lostSeconds, and the states from the failure until all train again, are one number."""
    status = look(running(5), observed(pod().ended(1, at=at(60)).of(scheduled_at=NOW)), 61)
    before = sum(status.ledger.values())
    status = look(status, observed(), 61)
    fresh = pod(attempt=2).of(created_at=at(61))
    status = look(status, observed(fresh.joined(at(75)).of(scheduled_at=at(64)).container(began_at=at(70))), 75)
    assert status.phase is Phase.RUNNING
    assert status.failures[0].lost_seconds == 15
    assert sum(status.ledger.values()) - before == 15
    states = ("restart_backoff", "queued", "image_pull", "rendezvous")
    assert [status.ledger[state] for state in states] == [1.0, 8.0, 6.0, 5.0]


def test_a_refused_job_has_only_waited() -> None:
    status = look(TrainingJobStatus(), observed(), 7, framework="PyTorch", command=[])
    assert status.phase is Phase.FAILED
    assert status.ledger == {"queued": 7.0}


def test_the_next_attempt_is_told_how_far_training_had_come() -> None:
    words = json.dumps({"version": 1, "outcome": "Failed", "cause": "UserError", "progress": {"step": 120}})
    known = running(5, progress=progress(step=100), steps_done=30)
    failed = look(known, observed(pod().ended(1, message=words, at=at(60))), 61)
    assert failed.steps_done == 120
    made = plan(job(workers=1).with_status(failed).obj(), observed(), at(62)).creates[-1]
    env = {e["name"]: e.get("value") for e in made.body["spec"]["containers"][0]["env"]}
    assert env["REGATTA_STEPS_DONE"] == "120"


def test_steps_that_the_instruments_count_are_those_that_are_compared() -> None:
    words = json.dumps({"version": 1, "outcome": "Failed", "progress": {"step": 7680}, "globalStep": 120})
    failed = look(running(5, progress=progress(step=7680)), observed(pod().ended(1, message=words, at=at(60))), 61)
    assert failed.steps_done == 120


def test_goodput_is_the_part_of_new_steps_in_all_but_queueing() -> None:
    assert goodput({"queued": 1000.0, "init": 10.0, "step": 80.0, "rework": 10.0}) == 0.8
    assert goodput({"queued": 1000.0, "unmeasured": 10.0}) is None
    assert goodput({}) is None


def test_the_stages_of_a_start_are_those_of_its_slowest_worker() -> None:
    pods = [
        pod(worker=0).joined(at(30)).of(scheduled_at=at(2)).container(began_at=at(10)).obj(),
        pod(worker=1).joined(at(31)).of(scheduled_at=at(6)).container(began_at=at(20)).obj(),
    ]
    crew = Crew.muster(pods, uid=UID, attempt=1, desired=2)
    assert startup(crew) == {"queued": 2.0, "gang_wait": 4.0, "image_pull": 14.0, "rendezvous": 11.0}


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param({"seconds": {"step": 1}}, None, id="no length"),
        pytest.param({"elapsed": float("inf")}, None, id="no number"),
        pytest.param({"elapsed": 3, "seconds": []}, CrewTime(elapsed=3.0), id="no states"),
        pytest.param(
            {"elapsed": 3, "seconds": {"step": 2, "queued": 1, "eval": -1, "idle": "1", 'x"}': 5}},
            CrewTime(elapsed=3.0, seconds={"step": 2.0}),
            id="states that are the operator's, or none",
        ),
    ],
)
def test_what_a_launcher_tells_of_its_time_is_checked(told: Any, believed: CrewTime | None) -> None:
    assert read_time(told) == believed


def test_there_are_fifteen_states() -> None:
    assert len(set(STATES)) == len(STATES) == 15
