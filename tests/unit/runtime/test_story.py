"""The launcher knows what lies around a process's own words: how long it took to begin, and to begin again."""

from __future__ import annotations

from typing import Any

from regatta_runtime.measure.ledger import Ledger
from regatta_runtime.measure.story import Story


class Launcher:
    """Books and story of rank 0, with a clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ledger = Ledger(lambda: self.now)
        self.story = Story(lambda: self.now)

    def begins(self, *, later: float = 0.0) -> Launcher:
        self.now += later
        self.ledger.begin_generation()
        self.story.begin_generation()
        return self

    def hears(self, *, later: float, **seconds: float) -> Launcher:
        self.now += later
        self.story.take(self.ledger.take(0, {"steps": 1, "samples": 0, "seconds": seconds}))
        return self

    def tells(self, *, later: float = 0.0) -> dict[str, Any]:
        self.now += later
        return self.story.to_json(self.ledger.total().get(0))


def test_before_the_first_generation_there_is_nothing_to_tell() -> None:
    assert Launcher().tells(later=5) == {}


def test_a_process_that_tells_nothing_has_only_a_length() -> None:
    assert Launcher().begins().tells(later=5) == {"elapsed": 5.0}


def test_what_a_process_does_before_its_instruments_are_there_is_init() -> None:
    launcher = Launcher().begins().hears(later=7, init=2.0, compile=1.0).hears(later=3, init=2.0, compile=1.0, step=3.0)
    assert launcher.tells(later=1) == {"elapsed": 11.0, "seconds": {"compile": 1.0, "init": 6.0, "step": 3.0}}


def test_between_two_generations_the_crew_meets_anew() -> None:
    launcher = Launcher().begins().hears(later=10, init=1.0, step=9.0).begins(later=4).hears(later=6, init=6.0)
    assert launcher.tells()["seconds"] == {"init": 7.0, "rendezvous": 4.0, "step": 9.0}


def test_a_generation_that_never_trained_was_init() -> None:
    launcher = Launcher().begins().begins(later=5).hears(later=3, init=1.0, step=2.0)
    assert launcher.tells()["seconds"] == {"init": 6.0, "step": 2.0}


def test_all_told_add_up_to_the_time_until_the_last_word() -> None:
    launcher = (
        Launcher().begins().hears(later=10, init=1.0, step=8.0).begins(later=4).hears(later=6, init=2.0, step=3.0)
    )
    told = launcher.tells()
    assert sum(told["seconds"].values()) == told["elapsed"] == 20.0
