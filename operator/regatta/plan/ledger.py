"""The ledger: where every second of a job went, in states that exclude one another and add up to its life.

The books begin with the job's creation and are kept forward: whatever `status.ledger` adds up to is settled, and only
the time from there on is booked, by what pods and crew tell then. So nothing is booked twice, nothing shrinks, and an
operator that was away books afterwards what it would have booked meanwhile: times come from pod conditions, container
states and the launcher's own clock, and from the operator's only where nothing else is known.

    queued | gang_wait | image_pull, init | rendezvous | the program's own states | terminating
    created  first pod   all pods bound     containers   processes run              program ended
             bound                          started

After a failure `restart_backoff` takes the place of `queued` until the next attempt's pods are made. What the program
did is told by worker 0's lowest rank alone. While it runs, the ledger ends where that told last; what nobody can tell
about the time of a program that is over is `unmeasured`, which is none of the states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import inf
from typing import Final

from regatta.api.spec import Runtime
from regatta.api.status import FailureAction, Phase, TrainingJobStatus
from regatta.plan.crew import Crew, report_of, trainer_of
from regatta.plan.model import Job, PodFacts
from regatta.plan.report import RUNTIME_STATES, CrewTime, CrewWords

__all__ = ["ENDING_CYCLE", "HELD", "STATES", "UNMEASURED", "goodput", "slow_cycle", "startup", "with_ledger"]

QUEUED: Final = "queued"
GANG_WAIT: Final = "gang_wait"
IMAGE_PULL: Final = "image_pull"
INIT: Final = "init"
RENDEZVOUS: Final = "rendezvous"
STEP: Final = "step"
IDLE: Final = "idle"
RESTART_BACKOFF: Final = "restart_backoff"
TERMINATING: Final = "terminating"
UNMEASURED: Final = "unmeasured"

STATES: Final = (QUEUED, GANG_WAIT, IMAGE_PULL, *RUNTIME_STATES, RESTART_BACKOFF, TERMINATING)
"""The closed set, in the order of a job's life."""
HELD: Final = tuple(state for state in (*STATES, UNMEASURED) if state not in {QUEUED, RESTART_BACKOFF})
"""What a job spends while it holds nodes."""

ENDING_CYCLE: Final = 5.0
"""The same for a suspended job whose pods still end: when the last one was gone, nothing tells afterwards."""
MINOR: Final = ("init", "rendezvous", "compile", "checkpoint_restore")
"""States at a program's beginning, where the overlap of two clocks lies."""


def with_ledger(
    job: Job, status: TrainingJobStatus, crew: Crew | None, words: CrewWords | None, *, now: datetime
) -> TrainingJobStatus:
    """Return `status`, wanted instead of the job's, with its ledger brought up to now.

    `job.status` is what is stored; `crew` are the pods of its attempt, None where there are none for certain.
    """
    stored = job.status
    if stored.phase is not None and stored.phase.terminal:
        return status
    crew = crew or Crew.muster((), uid=job.uid, attempt=max(1, stored.attempt), desired=0)
    book = _Book(status, born=job.created_at)
    if stored.phase is Phase.SUSPENDED:
        book.fill(TERMINATING if crew.all_pods else QUEUED, now)
    else:
        _book_attempt(book, job, status, crew, words, now=now)
    if status.phase is not None and status.phase.terminal:
        book.fill(TERMINATING if _held(stored, crew) else QUEUED, now)
    return _written(stored, status, book, ending=bool(crew.all_pods))


def slow_cycle(known: float) -> float:
    """How many more seconds are worth a write of their own, where so many are known: a tenth, a minute at most."""
    return min(60.0, max(5.0, known / 10))


def goodput(ledger: Mapping[str, float]) -> float | None:
    """The part of a job's time, its queueing aside, in which it did new steps; None where no step was measured."""
    spent = sum(ledger.values()) - ledger.get(QUEUED, 0.0)
    if STEP not in ledger or spent <= 0:
        return None
    return round(ledger[STEP] / spent, 4)


def startup(crew: Crew) -> dict[str, float]:
    """Seconds of each stage of an attempt's start, by its pods' own times; stages that are not over are left out."""
    begins = min((pod.created_at for pod in crew.members.values() if pod.created_at is not None), default=None)
    if begins is None:
        return {}
    spent: dict[str, float] = {}
    for state, until in _startup(crew, crew.last_joined_at if crew.joined else None):
        if until is None:
            break
        spent[state] = spent.get(state, 0.0) + max(0.0, (until - begins).total_seconds())
        begins = max(begins, until)
    return spent


class _Book:
    """The ledger while it is being written. Every second belongs to one state, and none is taken back."""

    def __init__(self, status: TrainingJobStatus, *, born: datetime) -> None:
        self.ledger = dict(status.ledger)
        self.told = dict(status.attempt_ledger)
        self._born = born

    @property
    def at(self) -> datetime:
        """Up to when everything is booked."""
        return self._born + timedelta(seconds=sum(self.ledger.values()))

    def fill(self, state: str, until: datetime) -> None:
        """Book all time up to a moment."""
        self._add(state, (until - self.at).total_seconds())

    def tell(self, seconds: Mapping[str, float], *, overlap: float, until: datetime) -> None:
        """Book what a program told beyond what it had told before, but for `overlap` seconds that are booked already.

        It cannot have spent more than there was: what is too much for now is taken in later.
        """
        fresh = {state: max(0.0, value - self.told.get(state, 0.0)) for state, value in seconds.items()}
        for state in (*MINOR, *fresh):
            cut = min(max(0.0, overlap), fresh.get(state, 0.0))
            if cut > 0:
                overlap -= cut
                fresh[state] -= cut
                self.told[state] = self.told.get(state, 0.0) + cut
        room = (until - self.at).total_seconds()
        total = sum(fresh.values())
        share = 1.0 if total <= room else max(0.0, room) / total
        for state, value in fresh.items():
            if value * share > 0:
                self.told[state] = self.told.get(state, 0.0) + value * share
                self._add(state, value * share)

    def _add(self, state: str, seconds: float) -> None:
        if seconds > 0:
            self.ledger[state] = self.ledger.get(state, 0.0) + seconds


def _book_attempt(
    book: _Book, job: Job, wanted: TrainingJobStatus, crew: Crew, words: CrewWords | None, *, now: datetime
) -> None:
    """Book what the stored attempt did, until now or until its end."""
    stored = job.status
    end = _end_of_program(stored, wanted, crew, now=now)
    moment = now if end is None else min(end, now)
    off = job.spec is not None and job.spec.runtime is Runtime.OFF
    told, told_at = _told(crew, words)
    began = told_at - timedelta(seconds=told.elapsed) if told is not None and told_at is not None else None
    if stored.phase is not Phase.RUNNING:
        for state, until in _before_program(stored, crew, began, off=off):
            book.fill(state, moment if until is None else min(until, moment))
            if until is None:
                return
    if told is not None and told.seconds and began is not None:
        overlap = 0.0
        if not book.told:
            # Pods tell whole seconds, and late, of what the launcher measures. Without books nobody was there to see.
            book.fill(RENDEZVOUS if book.ledger else UNMEASURED, min(began, now))
            overlap = (book.at - began).total_seconds()
        book.tell(told.seconds, overlap=overlap, until=now)
    if end is not None:
        # A launcher that leaves its last words has told all there was: no step followed.
        complete = bool(book.told) and _report_time(crew) is not None
        book.fill(IDLE if complete else UNMEASURED, moment)
    elif off:
        book.fill(UNMEASURED, moment)


def _end_of_program(
    stored: TrainingJobStatus, wanted: TrainingJobStatus, crew: Crew, *, now: datetime
) -> datetime | None:
    """When the program of the stored attempt ended, by the change of status that is wanted; None while it goes on."""
    attempt = max(1, stored.attempt)
    if wanted.phase is Phase.SUCCEEDED:
        return crew.last_finished_at or now
    if wanted.phase is Phase.FAILED or wanted.attempt > attempt:
        for failure in wanted.failures:
            if failure.attempt == attempt and failure.action is not FailureAction.RESTARTED_IN_PLACE:
                return failure.at
        return now
    return now if wanted.phase is Phase.SUSPENDED else None


def _told(crew: Crew, words: CrewWords | None) -> tuple[CrewTime | None, datetime | None]:
    """What worker 0 told last of its time, and when."""
    final = _report_time(crew)
    spoken = words.time if words is not None else None
    if final is not None and (spoken is None or final.elapsed >= spoken.elapsed):
        trainer = trainer_of(crew.members[0])
        return final, trainer.finished_at if trainer is not None else None
    return spoken, words.heard_at if words is not None else None


def _report_time(crew: Crew) -> CrewTime | None:
    report = report_of(crew.members[0]) if 0 in crew.members else None
    return report.time if report is not None else None


def _before_program(
    stored: TrainingJobStatus, crew: Crew, began: datetime | None, *, off: bool
) -> Iterator[tuple[str, datetime | None]]:
    """The states before the program in their order, each with its end; None for one that lasts."""
    made = [pod.created_at for pod in crew.members.values() if pod.created_at is not None]
    if stored.phase is Phase.RESTARTING:
        yield RESTART_BACKOFF, min(made, default=None)
    yield QUEUED, crew.first_scheduled_at
    joined = began
    if joined is None and crew.joined:
        joined = crew.last_joined_at or crew.last_began_at
    if joined is None and off:
        joined = crew.last_began_at
    for state, until in _startup(crew, joined):
        if state != QUEUED:
            yield state, until


def _startup(crew: Crew, joined: datetime | None) -> Iterator[tuple[str, datetime | None]]:
    """The stages of a start, each as long as its slowest worker; the program's beginning says that all are over."""
    bound = [pod.scheduled_at for pod in crew.members.values() if pod.scheduled_at is not None]
    yield QUEUED, min(bound, default=joined)
    complete = not crew.missing and len(bound) == len(crew.members)
    yield GANG_WAIT, max(bound) if bound and complete else joined
    yield from _containers(crew, joined)
    yield RENDEZVOUS, joined


def _containers(crew: Crew, joined: datetime | None) -> Iterator[tuple[str, datetime | None]]:
    """Pulling, and running init containers: at any moment that of the worker that is farthest behind."""
    changes = sorted(change for pod in crew.members.values() for change in _changes(pod))
    at = [len(crew.members) + len(crew.missing), 0, 0]
    for moment, before, after in changes:
        yield IMAGE_PULL if at[0] else INIT, moment
        at[before] -= 1
        at[after] += 1
    if at[0] or at[1]:
        yield IMAGE_PULL if at[0] else INIT, joined


def _changes(pod: PodFacts) -> Iterator[tuple[datetime, int, int]]:
    """When a pod went over from one to another of: pulling (0), in an init container (1), its trainer begun (2)."""
    for container in pod.containers:
        # A sidecar's start is no wait for its end.
        waits = container.exit_code is not None or not container.ready
        if container.init and container.began_at is not None and waits:
            yield container.began_at, 0, 1
            if container.finished_at is not None:
                yield container.finished_at, 1, 0
    trainer = trainer_of(pod)
    began = trainer.began_at or trainer.running_since if trainer is not None else None
    if began is not None:
        yield began, 0, 2


def _held(stored: TrainingJobStatus, crew: Crew) -> bool:
    """Whether the job held anything when it came to its end."""
    return crew.first_scheduled_at is not None or stored.phase in {Phase.STARTING, Phase.RUNNING}


def _written(stored: TrainingJobStatus, status: TrainingJobStatus, book: _Book, *, ending: bool) -> TrainingJobStatus:
    """The status with the books closed for now; untouched where there is too little news to be worth a write."""
    if status == stored:
        known, cycle = sum(stored.ledger.values()), inf
        if status.phase is Phase.RUNNING:
            cycle = slow_cycle(known)
        elif status.phase is Phase.SUSPENDED and ending:
            cycle = ENDING_CYCLE
        if sum(book.ledger.values()) - known < cycle:
            return status
    ledger = {state: round(book.ledger[state], 3) for state in (*STATES, UNMEASURED) if book.ledger.get(state)}
    over = status.attempt != max(1, stored.attempt) or status.phase is Phase.SUSPENDED
    told = {} if over else {state: round(value, 3) for state, value in book.told.items()}
    share = goodput(ledger)
    efficiency = status.efficiency if share is None else {**status.efficiency, "goodput": share}
    return status.model_copy(update={"ledger": ledger, "attempt_ledger": told, "efficiency": efficiency})
