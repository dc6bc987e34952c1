"""A termination message comes from a user's container: what is no good in it is taken for not said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.plan.report import FAILURES_KEPT, TEXT_LIMIT, CrewReport, read_failures, read_report
from tests.builders import NOW, seconds

GOOD: dict[str, Any] = {
    "version": 1,
    "outcome": "Failed",
    "cause": "UserError",
    "worker": 1,
    "rank": 3,
    "exitCode": 7,
    "message": "rank 3 on worker 1 exited with code 7",
    "restarts": 2,
    "progress": {"step": 8, "totalSteps": 80},
    "failures": [{"generation": 1, "cause": "OOMKilled", "exitCode": 137, "lostSeconds": 1.5}],
}


def read(**fields: Any) -> CrewReport | None:
    return read_report(json.dumps(GOOD | fields))


def test_a_report_tells_the_last_failure_and_those_before() -> None:
    report = read()
    assert report is not None
    assert (report.outcome, report.cause, report.worker, report.rank) == ("Failed", "UserError", 1, 3)
    assert (report.exit_code, report.restarts, report.step, report.total_steps) == (7, 2, 8, 80)
    [earlier] = report.failures
    assert (earlier.generation, earlier.cause, earlier.exit_code) == (1, "OOMKilled", 137)
    assert (earlier.lost_seconds, earlier.rank, earlier.at) == (1.5, None, None)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("worker", -1, None),
        ("worker", True, None),
        ("rank", 2**31, None),
        ("rank", 1.5, None),
        ("exit_code", "7", None),
        ("restarts", -1, 0),
        ("restarts", None, 0),
        ("message", ["no text"], ""),
        ("message", "x" * 2000, "x" * TEXT_LIMIT),
        ("message", "half \ud800", "half ?"),
        ("failures", {"0": 1}, ()),
        ("failures", [1, "two", None, {}, {"generation": -1}, {"generation": "1"}], ()),
    ],
)
def test_a_value_that_cannot_be_is_not_said(field: str, value: object, expected: object) -> None:
    report = read(**{"exitCode" if field == "exit_code" else field: value})
    assert report is not None
    assert getattr(report, field) == expected


@pytest.mark.parametrize(
    "text",
    ["", "Traceback", "{", "[]", "{}", '{"version":2,"outcome":"Failed"}', '{"version":1}', '{"version":1,"outcome":3}',
     json.dumps(GOOD) + " " * 4096, "{" * 4000],
)  # fmt: skip
def test_foreign_last_words_are_no_report(text: str) -> None:
    assert read_report(text) is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-01-02T03:04:05Z", NOW),
        ("2026-01-02T04:04:06.9+01:00", NOW + seconds(1)),
        ("2026-01-02T03:04:05", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("yesterday", None),
        ("9" * 50, None),
        (1767323045, None),
    ],
)
def test_a_time_needs_its_zone(told: object, expected: object) -> None:
    [failure] = read_failures([{"generation": 1, "at": told}])
    assert failure.at == expected


@pytest.mark.parametrize("told", [-1, "2", True, float("nan"), float("inf"), 1e300, 10**400])
def test_lost_time_is_a_number_of_seconds(told: object) -> None:
    [failure] = read_failures([{"generation": 1, "lostSeconds": told}])
    assert failure.lost_seconds is None


def test_the_newest_failures_are_kept() -> None:
    found = read_failures([{"generation": number} for number in range(1000)])
    assert [failure.generation for failure in found] == list(range(1000 - FAILURES_KEPT, 1000))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), ANY))
def test_no_report_breaks_the_reader(fields: dict[str, Any]) -> None:
    report = read(**fields)
    if report is not None:
        report.message.encode()
        report.outcome.encode()
