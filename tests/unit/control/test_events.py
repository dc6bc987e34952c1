"""Repeated events are counted, floods are cut, and what is posted fits the API."""

from __future__ import annotations

from datetime import datetime, timedelta

from regatta.control.events import BURST, EventLedger
from regatta.plan.model import Event
from tests.builders import NOW, job


class Now:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def warning(message: str = "no node takes worker 0") -> Event:
    return Event(type="Warning", reason="Unschedulable", message=message)


def test_an_event_is_about_the_job_and_in_the_operators_words() -> None:
    posting = EventLedger(instance="operator-0", now=Now()).posting(job().obj(), warning())
    assert posting is not None
    assert not posting.repeated
    assert posting.body["regarding"]["name"] == "job-a"
    assert (posting.body["type"], posting.body["reason"]) == ("Warning", "Unschedulable")
    assert posting.body["note"] == "no node takes worker 0"
    assert posting.name.startswith("job-a.")


def test_the_same_words_again_raise_a_count() -> None:
    now = Now()
    ledger = EventLedger(instance="i", now=now)
    first = ledger.posting(job().obj(), warning())
    now.pass_seconds(60)
    second = ledger.posting(job().obj(), warning())
    third = ledger.posting(job().obj(), warning())
    assert first is not None
    assert second is not None
    assert third is not None
    assert (second.name, second.repeated, second.body["series"]["count"]) == (first.name, True, 2)
    assert third.body["series"]["count"] == 3


def test_other_words_and_words_of_long_ago_are_new_events() -> None:
    now = Now()
    ledger = EventLedger(instance="i", now=now)
    first = ledger.posting(job().obj(), warning())
    other = ledger.posting(job().obj(), warning("no node takes worker 1"))
    now.pass_seconds(601)
    later = ledger.posting(job().obj(), warning())
    assert first is not None
    assert other is not None
    assert later is not None
    assert not other.repeated
    assert not later.repeated
    assert len({first.name, other.name, later.name}) == 3


def test_an_event_that_is_gone_is_posted_anew() -> None:
    ledger = EventLedger(instance="i", now=Now())
    first = ledger.posting(job().obj(), warning())
    assert first is not None
    ledger.forget(first.name)
    second = ledger.posting(job().obj(), warning())
    assert second is not None
    assert not second.repeated


def test_a_flood_is_cut_and_later_events_come_through() -> None:
    now = Now()
    ledger = EventLedger(instance="i", now=now)
    posted = [ledger.posting(job().obj(), warning(str(number))) for number in range(100)]
    assert sum(posting is not None for posting in posted) == BURST
    now.pass_seconds(15)
    assert ledger.posting(job().obj(), warning("later")) is not None


def test_a_long_message_is_cut_to_the_apis_limit_in_bytes() -> None:
    posting = EventLedger(instance="i", now=Now()).posting(job().obj(), warning("ä" * 2000))
    assert posting is not None
    assert len(posting.body["note"].encode()) <= 1024
    assert posting.body["note"].endswith("…")
