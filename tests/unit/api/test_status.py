"""The status on the wire: nothing invented, nothing lost, nothing that the API server could refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from regatta.api.status import MAX_FAILURES, MAX_MESSAGE, Cause, Failure, Phase, Progress, TrainingJobStatus, Workers

METEOR = {"attempt": 1, "cause": "Meteor", "at": "2026-01-02T12:00:00Z"}
EVICTED = {"attempt": 1, "cause": "Evicted", "at": "2026-01-02T12:00:00Z"}
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def failure(number: int = 1) -> Failure:
    return Failure(attempt=number, cause=Cause.EVICTED, at=NOON)


def test_a_status_never_written_is_empty() -> None:
    assert TrainingJobStatus().to_api() == {}
    assert TrainingJobStatus.from_api(None) == TrainingJobStatus.from_api({}) == TrainingJobStatus()


def test_times_are_whole_seconds_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    status = TrainingJobStatus(start_time=datetime(2026, 1, 2, 14, 0, 0, 999_999, tzinfo=east))

    assert status.start_time == NOON
    assert status.to_api()["startTime"] == "2026-01-02T12:00:00Z"


def test_a_time_without_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="timezone"):
        TrainingJobStatus(start_time=datetime(2026, 1, 2))  # noqa: DTZ001


def test_what_is_not_known_is_absent() -> None:
    body = TrainingJobStatus(phase=Phase.QUEUED).to_api()

    assert body.keys() == {
        "phase",
        "attempt",
        "attemptRestarts",
        "restartsInPlace",
        "restartsUsed",
        "activeSeconds",
        "stepsDone",
        "workers",
    }


def test_columns_get_one_value_each() -> None:
    status = TrainingJobStatus(workers=Workers(desired=4, ready=3), progress=Progress(step=7, fraction=0.999))
    body = status.to_api()

    assert body["workers"]["summary"] == "3/4"
    assert body["progress"]["summary"] == "99%"
    assert TrainingJobStatus.from_api(body) == status


@pytest.mark.parametrize(
    ("progress", "summary"),
    [
        (Progress(), ""),
        (Progress(step=12), "step 12"),
        (Progress(fraction=0.0), "0%"),
        (Progress(fraction=1.0), "100%"),
        (Progress(fraction=1.7), "100%"),
    ],
    ids=str,
)
def test_progress_is_one_word(progress: Progress, summary: str) -> None:
    assert progress.summary == summary


def test_only_the_newest_failures_are_kept() -> None:
    status = TrainingJobStatus(failures=tuple(failure(number) for number in range(1, 15)))

    assert [kept.attempt for kept in status.failures] == list(range(15 - MAX_FAILURES, 15))


def test_an_endless_message_is_cut() -> None:
    status = TrainingJobStatus(message="x" * 100_000)

    assert len(status.message) == MAX_MESSAGE
    assert status.message.endswith("…")
    assert TrainingJobStatus.from_api(status.to_api()) == status


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ({"attempt": 2, "someday": {"new": 1}}, TrainingJobStatus(attempt=2)),
        ({"attempt": 2, "phase": "Dreaming"}, TrainingJobStatus(attempt=2)),
        ({"attempt": 2, "startTime": "noon"}, TrainingJobStatus(attempt=2)),
        ({"attempt": 2, "progress": {"step": "many"}}, TrainingJobStatus(attempt=2)),
        ({"attempt": 2, "failures": "none"}, TrainingJobStatus(attempt=2)),
        (
            {"attempt": 2, "failures": [METEOR, EVICTED]},
            TrainingJobStatus(attempt=2, failures=(failure(),)),
        ),
    ],
    ids=["unknown key", "unknown phase", "no time", "no number", "no list", "unknown cause"],
)
def test_what_another_version_wrote_is_read_as_far_as_it_goes(raw: dict[str, Any], kept: TrainingJobStatus) -> None:
    assert TrainingJobStatus.from_api(raw) == kept


def test_only_the_end_is_terminal() -> None:
    assert [phase for phase in Phase if phase.terminal] == [Phase.SUCCEEDED, Phase.FAILED]
