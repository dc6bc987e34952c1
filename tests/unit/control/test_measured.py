"""Measured numbers are written at a bounded rate over all jobs, each job has its turn, and no phase waits for one."""

from __future__ import annotations

import pytest

from regatta.api.status import Failure, Phase, TrainingJobStatus
from regatta.control.measured import Turns, is_only_measured
from tests.builders import NOW, progress

RATE = 20.0


class Jobs:
    """Jobs that want to write, and a clock that goes when it is told to."""

    def __init__(self, count: int) -> None:
        self.now = 1000.0
        self.turns = Turns(per_second=RATE, clock=lambda: self.now)
        self.keys = [("team", f"job-{number}") for number in range(count)]
        self.written: list[tuple[float, tuple[str, str]]] = []

    def all_ask(self) -> None:
        for key in self.keys:
            if self.turns.wait(key) == 0.0:
                self.written.append((self.now, key))

    def most_within(self, seconds: float) -> int:
        times = [at for at, _ in self.written]
        return max(sum(at <= other < at + seconds for other in times) for at in times)


def test_a_few_jobs_write_whenever_they_have_news() -> None:
    jobs = Jobs(10)
    for _ in range(5):
        jobs.all_ask()
        jobs.now += 5.0
    assert len(jobs.written) == 50


def test_the_operator_writes_no_faster_than_its_rate_however_many_jobs_have_news() -> None:
    jobs = Jobs(1000)
    for _ in range(120):
        jobs.all_ask()
        jobs.now += 0.5
    assert jobs.most_within(10.0) <= RATE * 11
    assert len(jobs.written) >= RATE * 59, "and no slower"


def test_every_job_has_its_turn_before_any_has_its_next() -> None:
    jobs = Jobs(1000)
    while len({key for _, key in jobs.written}) < 1000:
        jobs.all_ask()
        jobs.now += 0.5
    assert jobs.now <= 1000.0 + 1000 / RATE + 1.0
    counts = [sum(key == mine for _, key in jobs.written) for mine in jobs.keys]
    assert max(counts) - min(counts) <= 1


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    jobs = Jobs(1000)
    jobs.all_ask()
    for key in jobs.keys:
        jobs.turns.forget(key)
    assert len(jobs.turns) == 0


STATUS = TrainingJobStatus(phase=Phase.RUNNING, attempt=1, efficiency={"stepSeconds": 1.0}, ledger={"queued": 1.0})


@pytest.mark.parametrize(
    ("change", "measured"),
    [
        ({"ledger": {"queued": 2.0}}, True),
        ({"ledger": {"queued": 2.0}, "attempt_ledger": {"step": 1.0}, "efficiency": {}}, True),
        ({"progress": progress(step=7)}, True),
        ({"phase": Phase.RESTARTING, "ledger": {"queued": 2.0}}, False),
        ({"failures": (Failure(attempt=1, cause="UserError", at=NOW),)}, False),
        ({"message": "other words"}, False),
    ],
    ids=str,
)
def test_only_measured_numbers_can_wait(change: dict[str, object], *, measured: bool) -> None:
    assert is_only_measured(STATUS, STATUS.model_copy(update=change)) is measured
