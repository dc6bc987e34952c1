"""What stands of a pod's events: the latest word counts."""

from __future__ import annotations

from typing import Any

from regatta.kube.eventlog import last_told, standing_warning


def event(reason: str, at: str, *, type_: str = "Warning", version: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "reason": reason,
        "type": type_,
        "message": f"{reason} at {at}",
        "lastTimestamp": f"2026-01-02T03:04:{at}Z",
        "metadata": {"resourceVersion": str(version)},
        **more,
    }


def test_the_latest_warning_stands() -> None:
    found = standing_warning([event("FailedMount", "09"), event("FailedAttachVolume", "05")])

    assert found is not None
    assert found["reason"] == "FailedMount"


def test_progress_after_a_warning_clears_it() -> None:
    assert standing_warning([event("FailedMount", "05"), event("Pulling", "09", type_="Normal")]) is None


def test_within_a_second_the_later_write_counts() -> None:
    events = [event("Pulling", "05", type_="Normal", version=10), event("FailedMount", "05", version=9)]

    assert standing_warning(events) is None


def test_what_the_scheduler_said_before_is_no_news_of_the_kubelet() -> None:
    events = [event("FailedScheduling", "09"), event("Scheduled", "09", type_="Normal"), event("FailedMount", "05")]

    found = standing_warning(events)

    assert found is not None
    assert found["reason"] == "FailedMount"
    assert standing_warning(events[:2]) is None


def test_the_last_repetition_is_what_counts() -> None:
    repeated = event("FailedMount", "05", series={"lastObservedTime": "2026-01-02T03:04:11.123456Z"})

    assert last_told(repeated) == "2026-01-02T03:04:11Z"
    assert standing_warning([repeated, event("Pulling", "09", type_="Normal")]) == repeated


def test_odd_events_are_passed_over() -> None:
    assert standing_warning([7, {}, {"message": 3}, {"message": "x", "series": [], "metadata": None}]) is None
