"""The ledger against lives whose truth is known, looked at by an operator that is there only now and then."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regatta.api.status import Phase, TrainingJobStatus
from regatta.plan.ledger import STATES, UNMEASURED
from regatta.plan.model import ContainerFacts, Observed, PodFacts
from regatta.plan.plan import plan
from regatta.plan.report import RUNTIME_STATES, CrewTime, CrewWords
from tests.builders import INSTALLATION, NOW, job, pod

WORKERS = 2


def moment(second: float) -> datetime:
    return NOW + timedelta(seconds=second)


@dataclass(frozen=True)
class Attempt:
    """One attempt, in seconds: how long each worker waits for each thing, and what the program does then."""

    binds: tuple[int, ...]
    pulls: tuple[int, ...]
    inits: tuple[int, ...]
    joins: int
    program: tuple[tuple[str, int], ...]
    code: int
    noticed: int
    """From the end of the program until the operator has seen it."""

    def times(self, created: float, worker: int) -> tuple[float, float, float]:
        """When a worker is bound, begins its init container, and begins to train."""
        bound = created + self.binds[worker]
        pulled = max(bound + self.pulls[worker], bound)
        return bound, pulled, pulled + self.inits[worker]

    def began(self, created: float) -> float:
        """When the program did."""
        return max(self.times(created, worker)[2] for worker in range(WORKERS)) + self.joins

    def ended(self, created: float) -> float:
        """When the program did."""
        return self.began(created) + sum(spent for _, spent in self.program)

    def told(self, created: float, at: float) -> CrewTime | None:
        """What the program has told at a time: each state once a second of it is over."""
        began = self.began(created)
        if at < began:
            return None
        spent: dict[str, float] = {}
        left = min(at, self.ended(created)) - began
        for state, length in self.program:
            part = min(float(length), max(0.0, left))
            if part:
                spent[state] = spent.get(state, 0.0) + part
            left -= length
        return CrewTime(elapsed=at - began, seconds=spent)

    def pods(self, created: float, at: float, *, attempt: int, measured: bool) -> tuple[PodFacts, ...]:
        """The pods as they are at a time."""
        return tuple(self._pod(created, at, attempt=attempt, worker=w, measured=measured) for w in range(WORKERS))

    def _pod(self, created: float, at: float, *, attempt: int, worker: int, measured: bool) -> PodFacts:
        bound, pulled, trains = self.times(created, worker)
        began, ended = self.began(created), self.ended(created)
        builder = pod(attempt=attempt, worker=worker).of(created_at=moment(created))
        if at < bound:
            return builder.obj()
        builder = builder.scheduled(moment(bound))
        if at < pulled:
            return builder.obj()
        init = ContainerFacts(name="init", init=True, began_at=moment(pulled))
        if at >= trains:
            init = replace(init, exit_code=0, finished_at=moment(trains))
        if at >= ended:
            told = self.told(created, ended)
            assert told is not None
            time = {"elapsed": told.elapsed, **({"seconds": told.seconds} if measured else {})}
            message = {"version": 1, "outcome": "Succeeded" if self.code == 0 else "Failed", "time": time}
            builder = builder.ended(self.code, message=json.dumps(message), at=moment(ended))
            builder = builder.of(scheduled_at=moment(bound)).container(began_at=moment(trains))
        elif at >= began:
            builder = builder.started(moment(trains)).of(scheduled_at=moment(bound), ready=True)
            builder = builder.of(ready_at=moment(began)).container(started=True, began_at=moment(trains))
        elif at >= trains:
            builder = builder.started(moment(trains)).of(scheduled_at=moment(bound)).container(began_at=moment(trains))
        made = builder.obj()
        return replace(made, containers=(init, *made.containers))


def truth(attempts: Iterable[Attempt], *, measured: bool) -> dict[str, float]:
    """Where the time of a life goes by the definition of the states."""
    spent: dict[str, float] = {}

    def add(state: str, seconds: float) -> None:
        if seconds:
            spent[state] = spent.get(state, 0.0) + seconds

    created = 0.0
    for attempt in attempts:
        rows = [attempt.times(created, worker) for worker in range(WORKERS)]
        first, bound = min(row[0] for row in rows), max(row[0] for row in rows)
        add("queued", first - created)
        add("gang_wait", bound - first)
        for second in range(int(bound), int(max(row[2] for row in rows))):
            # The job is where the worker is that is farthest behind.
            add("image_pull" if any(second < row[1] for row in rows) else "init", 1)
        add("rendezvous", attempt.joins)
        for state, length in attempt.program:
            add(state if measured else UNMEASURED, length)
        add("terminating" if attempt.code == 0 else "restart_backoff", attempt.noticed)
        created = attempt.ended(created) + attempt.noticed
    return spent


class Life:
    """Keeps a job with an operator that looks at chosen seconds, and at those at which it has something to do."""

    def __init__(self, attempts: tuple[Attempt, ...], *, measured: bool) -> None:
        self.attempts = attempts
        self.measured = measured
        self.builder = job(workers=WORKERS, restart={"maxRestarts": 5})
        self.status = TrainingJobStatus()
        self.number = 0
        self.created: float | None = None

    def lives(self, looks: Iterable[int]) -> TrainingJobStatus:
        """The status at the end."""
        wanted = sorted(set(looks))
        self.look(0.0)
        for attempt in self.attempts:
            assert self.created is not None
            acts = attempt.ended(self.created) + attempt.noticed
            for second in [s for s in wanted if self.created < s < attempt.ended(self.created)]:
                self.look(float(second))
            self.look(acts)
        assert self.status.phase is Phase.SUCCEEDED
        return self.status

    def look(self, at: float) -> None:
        """Reconcile until there is nothing more to do, and check what holds at any moment."""
        for _ in range(6):
            before = self.status
            decided = plan(self.builder.with_status(before).obj(), self.observed(at), moment(at))
            if any(create.kind == "Pod" for create in decided.creates):
                self.created, self.number = at, decided.status.attempt
            self.status = TrainingJobStatus.from_api(decided.status.to_api())
            assert self.status == decided.status
            assert self.status.ledger.keys() <= {*STATES, UNMEASURED}
            assert all(self.status.ledger.get(state, 0.0) >= spent for state, spent in before.ledger.items())
            assert sum(self.status.ledger.values()) <= at + 0.01
            if self.status == before and decided.requeue_after != 0.0:
                return

    def observed(self, at: float) -> Observed:
        if self.created is None or self.status.attempt > self.number:
            return Observed(installation=INSTALLATION)
        attempt = self.attempts[self.number - 1]
        told = attempt.told(self.created, at)
        words = None
        if told is not None and self.status.phase is Phase.RUNNING and at < attempt.ended(self.created):
            words = CrewWords(
                heard_at=moment(at),
                attempt=self.number,
                restarts=0,
                failures=(),
                generation=1,
                progress=None,
                time=told if self.measured else replace(told, seconds={}),
            )
        return Observed(
            installation=INSTALLATION,
            pods=attempt.pods(self.created, at, attempt=self.number, measured=self.measured),
            crew=words,
        )


counts = st.integers(0, 9)
programs = st.lists(st.tuples(st.sampled_from(RUNTIME_STATES), st.integers(1, 90)), min_size=1, max_size=6)


def attempts(code: int) -> st.SearchStrategy[Attempt]:
    each = st.tuples(*[counts] * WORKERS)
    return st.builds(
        Attempt,
        binds=each,
        pulls=each,
        inits=each,
        joins=counts,
        program=programs.map(tuple),
        code=st.just(code),
        noticed=st.integers(0, 5) if code == 0 else st.just(0),
    )


lives = st.tuples(st.lists(attempts(1), max_size=1), attempts(0)).map(lambda both: (*both[0], both[1]))
looks = st.lists(st.integers(0, 900), max_size=30)


@given(attempts=lives, seen=looks)
@settings(max_examples=150, deadline=None)
def test_the_ledger_is_the_truth_whenever_an_operator_looked(attempts: tuple[Attempt, ...], seen: list[int]) -> None:
    status = Life(attempts, measured=True).lives(seen)
    assert status.ledger == pytest.approx(truth(attempts, measured=True), abs=0.05)
    assert status.completion_time is not None
    assert sum(status.ledger.values()) == pytest.approx((status.completion_time - NOW).total_seconds(), abs=0.05)


@given(attempts=lives, seen=looks)
@settings(max_examples=100, deadline=None)
def test_what_no_instrument_tells_is_unmeasured(attempts: tuple[Attempt, ...], seen: list[int]) -> None:
    status = Life(attempts, measured=False).lives(seen)
    assert status.ledger == pytest.approx(truth(attempts, measured=False), abs=0.05)
    assert "goodput" not in status.efficiency
