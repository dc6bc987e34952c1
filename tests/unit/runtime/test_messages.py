"""Launchers and coordinator understand what the other side wrote, and refuse everything else with a ValueError."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime.crew.messages import END, IDLE, RUN, STATES, Failure, Order, Report, Verdict

NUMBERS = st.integers(0, 2**31)
TEXT = st.text(max_size=50)
FAILURES = st.builds(
    Failure,
    generation=NUMBERS,
    worker=NUMBERS,
    rank=st.none() | NUMBERS,
    exit_code=st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    cause=TEXT,
    message=TEXT,
    at=TEXT,
    lost_seconds=st.none() | st.integers(0, 4000).map(lambda n: n / 4),
)
REPORTS = st.builds(
    Report,
    worker=NUMBERS,
    member=TEXT,
    shape=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    state=st.sampled_from(sorted(STATES)),
    generation=NUMBERS,
    seen=NUMBERS,
    failure=st.none() | FAILURES,
    failed_ago=st.integers(0, 1000).map(lambda n: n / 4),
    address=TEXT,
    port=st.integers(0, 65535),
)
ORDERS = st.builds(
    Order,
    kind=st.just(RUN),
    version=NUMBERS,
    generation=NUMBERS,
    master=st.tuples(TEXT, st.integers(0, 65535)),
    peers=st.lists(TEXT, max_size=3).map(tuple),
    restarts=NUMBERS,
    failures=st.lists(FAILURES, max_size=3).map(tuple),
    note=TEXT,
    verdict=st.none(),
)
VERDICTS = st.builds(Verdict, failure=st.none() | FAILURES, gentle=st.booleans())


@given(REPORTS)
def test_a_report_survives_the_way(report: Report) -> None:
    assert Report.from_bytes(report.to_bytes()) == report


@given(ORDERS, VERDICTS)
def test_an_order_survives_the_way(order: Order, verdict: Verdict) -> None:
    assert Order.from_bytes(order.to_bytes()) == order
    ending = order._replace(kind=END, verdict=verdict)
    assert Order.from_bytes(ending.to_bytes()) == ending


GOOD = json.loads(Report(0, "a", (1, 2, 1), IDLE, 0, 0).to_bytes())


@pytest.mark.parametrize(
    "change",
    [
        {"worker": -1},
        {"worker": True},
        {"worker": "0"},
        {"member": 7},
        {"shape": [1, 2]},
        {"shape": ["1", 2, 3]},
        {"state": "dancing"},
        {"failedAgo": -1},
        {"failedAgo": "now"},
        {"failure": "none"},
        {"failure": {"generation": 1}},
        {"port": "20000"},
        {"address": None},
    ],
    ids=str,
)
def test_a_report_with_a_wrong_part_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"want|unknown"):
        Report.from_bytes(json.dumps({**GOOD, **change}).encode())


JSON = st.recursive(st.none() | st.integers() | TEXT, st.lists).map(lambda value: json.dumps(value).encode())


@given(st.binary(max_size=100) | JSON)
def test_anything_else_is_a_value_error(data: bytes) -> None:
    for read in (Report.from_bytes, Order.from_bytes):
        with pytest.raises(ValueError):  # noqa: PT011
            read(data)
