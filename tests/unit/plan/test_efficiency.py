"""How well a job uses its time: shown as it is measured, and written only when it has changed."""

from __future__ import annotations

from typing import Any

import pytest

from regatta.plan.progress import latest_efficiency
from regatta.plan.report import read_pace

PACE = {"samplesPerSecond": 100.0, "stepSeconds": 0.2, "dataStallFraction": 0.3}


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        pytest.param({}, PACE, id="nothing told"),
        pytest.param({**PACE, "stepSeconds": 0.205}, PACE, id="hardly changed"),
        pytest.param({**PACE, "dataStallFraction": 0.305}, PACE, id="a fraction that hardly changed"),
        pytest.param({**PACE, "stepSeconds": 0.3}, {**PACE, "stepSeconds": 0.3}, id="slower"),
        pytest.param(
            {"samplesPerSecond": 90.0, "stepSeconds": 0.201},
            {**PACE, "samplesPerSecond": 90.0, "stepSeconds": 0.201},
            id="one that changed brings the others up to date",
        ),
    ],
)
def test_a_status_is_written_for_what_has_changed(told: dict[str, float], stored: dict[str, float]) -> None:
    assert latest_efficiency(PACE, told) == stored


def test_a_fraction_near_zero_does_not_change_with_every_look() -> None:
    known = {"dataStallFraction": 0.001}
    assert latest_efficiency(known, {"dataStallFraction": 0.009}) == known
    assert latest_efficiency(known, {"dataStallFraction": 0.02}) == {"dataStallFraction": 0.02}


def test_what_others_measured_stays() -> None:
    assert latest_efficiency({"goodput": 0.9}, PACE) == {"goodput": 0.9, **PACE}


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        (None, {}),
        ([], {}),
        ({"stepSeconds": "1"}, {}),
        ({"stepSeconds": -1.0, "dataStallFraction": 1.01, "samplesPerSecond": float("inf")}, {}),
        ({"stepSeconds": 1, "goodput": 0.9}, {"stepSeconds": 1.0}),
        ({"gpuUtilization": 0.9, "memoryUsedFraction": 1.5}, {"gpuUtilization": 0.9}),
    ],
    ids=str,
)
def test_what_a_pod_tells_is_checked(told: Any, believed: dict[str, float]) -> None:
    assert read_pace(told) == believed
