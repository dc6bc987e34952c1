"""The last words fit where the kubelet keeps them, whatever happened."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime import termination
from regatta_runtime.crew.messages import Failure
from tests.unit.runtime.test_messages import FAILURES

LONG = st.text(max_size=30).map(lambda text: text * 60)


def words(failure: Failure | None, failures: list[Failure]) -> bytes:
    return termination.message(
        outcome="Failed" if failure else "Succeeded",
        failure=failure,
        worker=3,
        exit_code=0,
        generation=7,
        restarts=6,
        failures=failures,
        extra={"progress": {"step": 1, "totalSteps": 2, "epoch": 3}},
    )


@given(FAILURES, LONG, st.lists(st.tuples(FAILURES, LONG), max_size=5))
def test_they_are_whole_json_of_at_most_4096_bytes(
    failure: Failure, text: str, earlier: list[tuple[Failure, str]]
) -> None:
    data = words(failure._replace(message=text), [f._replace(message=t) for f, t in earlier])
    assert len(data) <= 4096
    told = json.loads(data)
    assert told["version"] == 1
    assert (told["cause"], told["exitCode"], told["generation"]) == (failure.cause, failure.exit_code, 7)
    assert text.startswith(told["message"].removesuffix("..."))


def test_short_failures_are_all_kept() -> None:
    failure = Failure(1, 0, 0, 1, None, "UserError", "ValueError: bad batch", "2026-01-02T03:04:05Z")
    told = json.loads(words(failure, [failure._replace(generation=g) for g in range(1, 6)]))
    assert [f["generation"] for f in told["failures"]] == [1, 2, 3, 4, 5]
    assert told["message"] == "ValueError: bad batch"


def test_success_needs_no_cause() -> None:
    told = json.loads(words(None, []))
    assert (told["outcome"], told["worker"], told["exitCode"]) == ("Succeeded", 3, 0)
    assert "cause" not in told
    assert "failures" not in told


def test_later_words_replace_earlier_longer_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    termination.write(str(log), b"a longer text")
    termination.write(str(log), b"short")
    assert log.read_bytes() == b"short"


def test_a_log_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    termination.write(str(tmp_path / "log"), b"text")
    assert not (tmp_path / "log").exists()


def test_times_are_utc_to_the_second() -> None:
    assert termination.timestamp(1_767_323_045.9) == "2026-01-02T03:04:05Z"
