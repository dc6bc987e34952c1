"""The launcher's books of what its processes measured: they only grow, and nobody can put nonsense into them."""

from __future__ import annotations

from typing import Any

import pytest

from regatta_runtime.measure.exposition import of_processes
from regatta_runtime.measure.ledger import Ledger


class Books:
    """A ledger whose clock goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ledger = Ledger(lambda: self.now)

    def at(self, now: float, rank: int = 0, *, steps: int, samples: int = 0, **seconds: float) -> Books:
        self.now = now
        self.ledger.take(rank, {"steps": steps, "samples": samples, "seconds": seconds})
        return self


def test_the_pace_is_that_of_the_last_minute() -> None:
    books = Books().at(0, steps=100, samples=800, step=1000.0, data_wait=0.0)
    books.at(50, steps=110, samples=880, step=1030.0, data_wait=10.0)
    pace = books.at(130, steps=120, samples=960, step=1070.0, data_wait=50.0).ledger.pace()
    assert pace is not None
    assert pace.to_json(processes=4) == {"samplesPerSecond": 4.0, "stepSeconds": 8.0, "dataStallFraction": 0.5}


def test_the_first_step_and_its_compilation_are_no_part_of_the_pace() -> None:
    pace = Books().at(40, steps=3, samples=24, compile=30.0, step=4.0).ledger.pace()
    assert pace is not None
    assert pace.step_seconds == 2.0


def test_there_is_no_pace_before_a_step_was_measured() -> None:
    assert Books().ledger.pace() is None
    assert Books().at(1, steps=1, samples=8, compile=3.0).ledger.pace() is None


def test_a_new_generation_adds_to_what_the_one_before_told() -> None:
    books = Books().at(10, steps=5, samples=40, init=2.0, step=3.0)
    books.ledger.begin_generation()
    total = books.at(20, steps=1, samples=8, init=2.5).ledger.total()
    assert (total[0].steps, total[0].samples, total[0].seconds) == (6, 48, {"init": 4.5, "step": 3.0})


def test_where_nobody_sees_the_waits_nothing_is_said_of_them() -> None:
    pace = Books().at(40, steps=3, samples=24, compile=30.0, step=4.0).ledger.pace()
    assert pace is not None
    assert pace.to_json(processes=1) == {"samplesPerSecond": 4.0, "stepSeconds": 2.0}


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"steps": 1},
        {"steps": -1, "samples": 0, "seconds": {}},
        {"steps": True, "samples": 0, "seconds": {}},
        {"steps": 1, "samples": 2**60, "seconds": {}},
        {"steps": 1, "samples": 0, "seconds": []},
    ],
)
def test_nonsense_is_not_taken(told: Any) -> None:
    ledger = Ledger(lambda: 0.0)
    ledger.take(0, told)
    assert ledger.total() == {}


def test_only_known_states_become_labels() -> None:
    ledger = Ledger(lambda: 0.0)
    ledger.take(
        1, {"steps": 2, "samples": 16, "seconds": {"step": 1.5, 'x"} 1': 9.0, "eval": float("nan"), "init": -1}}
    )
    assert [line for line in of_processes(ledger.total()) if not line.startswith("#")] == [
        'regatta_runtime_steps_total{rank="1"} 2',
        'regatta_runtime_samples_total{rank="1"} 16',
        'regatta_runtime_time_seconds_total{rank="1",state="step"} 1.5',
    ]
