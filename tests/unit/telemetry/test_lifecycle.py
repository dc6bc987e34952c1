"""What happens to jobs is counted once, by what changed in their status, under labels from closed sets."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from regatta.api.status import Cause, Failure, FailureAction, Phase, TrainingJobStatus
from regatta.plan.crew import Crew
from regatta.telemetry.lifecycle import CAUSES, Lifecycle
from tests.builders import NOW, UID, job, pod, seconds
from tests.unit.telemetry.exposition import problems, value

RUNNING = TrainingJobStatus(phase=Phase.RUNNING, attempt=1)


class Watcher:
    """Counts one change after another."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lifecycle = Lifecycle(self.registry)

    def sees(
        self, before: TrainingJobStatus, crew: Crew | None = None, *, after: TrainingJobStatus | None = None, **to: Any
    ) -> Watcher:
        current = job(gpusPerWorker=4).with_status(before).obj()
        self.lifecycle.changed(current, after or before.model_copy(update=to), crew)
        return self

    def value(self, sample: str, **labels: str) -> float:
        return value(self.text, sample, **labels)

    @property
    def text(self) -> str:
        return generate_latest(self.registry).decode()


def failure(cause: Cause = Cause.NODE_LOST, **fields: Any) -> Failure:
    return Failure(**{"attempt": 1, "cause": cause, "at": NOW, "action": FailureAction.NEW_ATTEMPT, **fields})


def test_a_job_is_created_once() -> None:
    watcher = Watcher().sees(TrainingJobStatus(), phase=Phase.QUEUED, attempt=1)
    watcher.sees(TrainingJobStatus(phase=Phase.QUEUED, attempt=1), message="waits")
    assert watcher.value("regatta_trainingjobs_created_total", namespace="team", framework="PyTorch") == 1


def test_the_wait_for_the_first_nodes_is_that_of_the_ledger() -> None:
    waiting = TrainingJobStatus(phase=Phase.QUEUED, attempt=1, ledger={"queued": 30.0})
    watcher = Watcher().sees(waiting, phase=Phase.STARTING, ledger={"queued": 70.0})
    watcher.sees(waiting.model_copy(update={"attempt": 2}), phase=Phase.STARTING)
    assert watcher.value("regatta_trainingjob_queue_wait_seconds_sum") == 70
    assert watcher.value("regatta_trainingjob_queue_wait_seconds_count") == 1


def test_a_start_is_told_by_its_stages() -> None:
    trained = pod(worker=0).joined(NOW + seconds(30)).container(began_at=NOW + seconds(20))
    pods = [trained.of(worker=w, scheduled_at=NOW + seconds(2 + 4 * w)).obj() for w in range(2)]
    crew = Crew.muster(pods, uid=UID, attempt=1, desired=2)
    starting = TrainingJobStatus(phase=Phase.STARTING, attempt=1)
    watcher = Watcher().sees(starting, crew, phase=Phase.RUNNING)
    spent = {
        stage: watcher.value("regatta_trainingjob_startup_seconds_sum", stage=stage)
        for stage in ("scheduling", "image_pull", "rendezvous")
    }
    assert spent == {"scheduling": 6, "image_pull": 14, "rendezvous": 10}
    assert watcher.value("regatta_trainingjob_gang_wait_seconds_sum") == 4


def test_the_first_step_of_an_attempt_is_told_when_it_is_done() -> None:
    watcher = Watcher().sees(RUNNING, attempt_ledger={"init": 3.0})
    begun = RUNNING.model_copy(update={"attempt_ledger": {"init": 3.0}})
    watcher.sees(begun, attempt_ledger={"init": 4.0, "compile": 2.0, "data_wait": 1.0, "step": 0.5})
    assert watcher.value("regatta_trainingjob_startup_seconds_sum", stage="first_step") == 6
    assert watcher.value("regatta_trainingjob_startup_seconds_count", stage="first_step") == 1


def test_a_restart_is_counted_by_its_cause_and_its_recovery_when_it_is_over() -> None:
    failed = {"failures": (failure(),), "failure_counts": {"NodeLost": 1}}
    watcher = Watcher().sees(RUNNING, phase=Phase.RESTARTING, attempt=2, **failed)
    assert watcher.value("regatta_trainingjob_restarts_total", cause="node_lost") == 1
    assert watcher.value("regatta_trainingjob_recovery_seconds_count") == 0
    again = RUNNING.model_copy(update=failed)
    watcher.sees(again, failures=(failure(lost_seconds=12.0),))
    watcher.sees(again.model_copy(update={"failures": (failure(lost_seconds=12.0),)}), message="trains")
    assert watcher.value("regatta_trainingjob_recovery_seconds_sum", cause="node_lost") == 12
    assert watcher.value("regatta_trainingjob_recovery_seconds_count") == 1


def test_a_failure_that_ends_the_job_is_no_restart() -> None:
    last = failure(Cause.USER_ERROR, action=FailureAction.JOB_FAILED)
    end = {"phase": Phase.FAILED, "reason": "UserError", "completion_time": NOW + seconds(90)}
    watcher = Watcher().sees(RUNNING, failures=(last,), failure_counts={"UserError": 1}, **end)
    assert watcher.value("regatta_trainingjob_restarts_total") == 0
    labels = {"outcome": "failed", "reason": "UserError"}
    assert watcher.value("regatta_trainingjobs_finished_total", **labels) == 1
    assert watcher.value("regatta_trainingjob_duration_seconds_sum", outcome="failed") == 90


def test_accelerators_are_held_while_nobody_tells_of_them() -> None:
    watcher = Watcher().sees(RUNNING, ledger={"queued": 50.0, "gang_wait": 3.0, "step": 9.0, "image_pull": 2.0})
    held = {
        state: watcher.value("regatta_accelerator_seconds_total", state=state)
        for state in ("queued", "gang_wait", "image_pull", "step")
    }
    assert held == {"queued": 0, "gang_wait": 24, "image_pull": 16, "step": 0}


def test_of_init_only_what_no_runtime_tells_is_counted() -> None:
    Watcher().sees(RUNNING, ledger={"init": 5.0}, attempt_ledger={"init": 5.0})
    watcher = Watcher().sees(RUNNING, ledger={"init": 5.0}, attempt_ledger={"init": 2.0})
    assert watcher.value("regatta_accelerator_seconds_total", state="init") == 24


def test_words_that_nobody_knows_become_other() -> None:
    watcher = Watcher().sees(RUNNING, phase=Phase.FAILED, reason='x"} 1', completion_time=NOW)
    assert watcher.value("regatta_trainingjobs_finished_total", reason="other") == 1
    watcher.sees(RUNNING, failures=(failure(Cause.CREW_LOST),), failure_counts={"CrewLost": 1})
    assert watcher.value("regatta_trainingjob_restarts_total", cause="other") == 1


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_label_of_the_closed_set(cause: Cause) -> None:
    closed = {"oom_killed", "node_lost", "preempted", "evicted", "hung", "image_error", "user_error", "other"}
    assert CAUSES.get(cause, "other") in closed


def test_the_whole_is_well_formed() -> None:
    watcher = Watcher().sees(TrainingJobStatus(), phase=Phase.FAILED, reason="InvalidSpec", completion_time=NOW)
    assert problems(watcher.text) == []
