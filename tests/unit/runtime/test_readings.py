"""What processes tell is read as far as it makes sense, and added up over their generations."""

from __future__ import annotations

from typing import Any

import pytest

from regatta_runtime.measure.readings import About, Histogram, Reading, plain_version, read, read_about, total
from regatta_runtime.measure.stopwatch import Stopwatch

BASE = {"steps": 3, "samples": 24, "seconds": {"step": 1.5}}


def test_what_was_sent_is_what_is_read() -> None:
    now = 0.0
    watch = Stopwatch(lambda: now)
    for seconds in (1.0, 0.25, 0.3125, 50.0):
        now += seconds
        watch.batch(8)
        watch.step(again=seconds == 0.3125)
    told = watch.reading()._replace(global_step=9, stepped_at=1e9, saved_at=1e9, saved_bytes=77)
    assert read(told.to_json(full=True)) == told
    assert told.durations["step"].counts == (0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1)
    assert told.lost == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lost", -1),
        ("globalStep", True),
        ("globalStep", 1.5),
        ("steppedAt", "now"),
        ("savedBytes", 2**60),
        ("durations", {"step": [1.0, 2]}),
        ("durations", {"step": [1.0, *["x"] * 12]}),
        ("durations", {'a"b': [1.0, *[0] * 12]}),
        ("durations", 7),
    ],
)
def test_a_part_that_makes_no_sense_is_left_out(name: str, value: Any) -> None:
    assert read({**BASE, name: value}) == Reading(3, 24, {"step": 1.5})


def test_two_lives_are_added_and_the_newest_is_kept() -> None:
    first = Reading(5, 40, {"step": 2.0}, 0, {"step": Histogram(2.0, (1, 2))}, 5, 10.0, 11.0, 100)
    second = Reading(2, 16, {"step": 1.0, "rework": 3.0}, 1, {"step": Histogram(1.0, (0, 3))}, 4, 20.0)
    assert total(first, second) == Reading(
        7, 56, {"step": 3.0, "rework": 3.0}, 1, {"step": Histogram(3.0, (1, 5))}, 4, 20.0, 11.0, 100
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.15.0+cu132", "2.15.0"),
        ("3.15.1", "3.15.1"),
        ("2.16.0.dev20261101", "2.16.0"),
        ('1"} 9', ""),
        ("main", ""),
        (None, ""),
        ("99999999.1", ""),
    ],
)
def test_a_version_is_numbers_and_nothing_else(text: object, version: str) -> None:
    assert plain_version(text) == version


def test_words_about_the_training_are_of_closed_sets() -> None:
    told = {"version": 'x"', "strategy": "mine", "precision": ["float32"], "more": 1}
    assert read_about(told) == About("", "other", "other")
    assert read_about("nothing") is None
