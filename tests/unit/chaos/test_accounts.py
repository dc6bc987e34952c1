"""What a status must say for the faults that a job was given: a judge that passes everything proves nothing."""

from typing import Any

import pytest

from tests.chaos.accounts import CREW_LOST, NODE_LOST, POD_DELETED, USER_ERROR, Account, fits

ENDED = {"phase": "Succeeded", "reason": "Completed", "attempt": 1, "restartsUsed": 0}


def test_a_job_that_nothing_happened_to_has_clean_books() -> None:
    assert Account(budget=3).mismatches(ENDED) == []


def test_every_fault_is_in_the_books() -> None:
    account = Account(budget=5, in_place=[USER_ERROR, USER_ERROR], attempts=[POD_DELETED, CREW_LOST])
    counts = {"UserError": 2, "PodDeleted": 1, "CrewLost": 1}
    told = {**ENDED, "attempt": 3, "restartsUsed": 2, "restartsInPlace": 2, "failureCounts": counts}

    assert account.mismatches(told) == []


def test_a_failed_job_made_no_attempt_after_its_last() -> None:
    account = Account(budget=2, phase="Failed", reason="UserError", in_place=[USER_ERROR], attempts=[USER_ERROR] * 2)
    told = {"phase": "Failed", "reason": "UserError", "attempt": 2, "restartsUsed": 2, "restartsInPlace": 1}

    assert account.mismatches({**told, "failureCounts": {"UserError": 3}}) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phase", "Failed"),
        ("reason", "Stalled"),
        ("attempt", 1),
        ("attempt", 3),
        ("restartsUsed", 0),
        ("restartsInPlace", 2),
        ("failureCounts", {"UserError": 1}),
        ("failureCounts", {"UserError": 1, "PodDeleted": 2}),
        ("failureCounts", {"UserError": 2, "PodDeleted": 0}),
    ],
)
def test_each_wrong_field_is_told(field: str, value: Any) -> None:
    account = Account(budget=5, in_place=[USER_ERROR], attempts=[POD_DELETED])
    counts = {"UserError": 1, "PodDeleted": 1}
    right = {**ENDED, "attempt": 2, "restartsUsed": 1, "restartsInPlace": 1, "failureCounts": counts}
    assert account.mismatches(right) == []

    [told] = account.mismatches({**right, field: value})

    assert told.startswith(field)


@pytest.mark.parametrize(
    ("counts", "fitting"),
    [
        ({"NodeLost": 1, "CrewLost": 1}, True),
        ({"CrewLost": 2}, True),
        ({"NodeLost": 2}, False),
        ({"CrewLost": 1}, False),
        ({"NodeLost": 1, "CrewLost": 2}, False),
    ],
)
def test_a_failure_with_two_possible_causes_is_given_one_of_them(counts: dict[str, int], fitting: bool) -> None:
    assert fits([NODE_LOST, CREW_LOST], counts) is fitting


def test_the_books_are_settled_when_the_status_knows_of_every_failure() -> None:
    account = Account(budget=5, in_place=[USER_ERROR])

    assert not account.settled({})
    assert account.settled({"failureCounts": {"UserError": 1}})


@pytest.mark.parametrize(
    ("ledger", "right"),
    [
        pytest.param({"queued": 4.0, "step": 96.0}, True, id="all of its life"),
        pytest.param({"queued": 7.5, "step": 96.0}, True, id="and the seconds until it was taken up"),
        pytest.param({"queued": 4.0, "step": 90.0}, False, id="seconds that are missing"),
        pytest.param({"queued": 4.0, "step": 196.0}, False, id="seconds that were booked twice"),
        pytest.param({}, False, id="nothing"),
    ],
)
def test_the_ledger_adds_up_to_a_life(ledger: dict[str, float], *, right: bool) -> None:
    life = {"startTime": "2026-01-02T03:00:00Z", "completionTime": "2026-01-02T03:01:40Z"}
    wrong = Account(budget=3).mismatches({**ENDED, **life, "ledger": ledger})
    assert (wrong == []) is right
