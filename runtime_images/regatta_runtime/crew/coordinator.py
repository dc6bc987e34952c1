"""Decides what the crew does: joining, generations, restarts, the end. Pure: no socket, no clock, no process.

It hears reports, disconnections and the time, and keeps one current order that all launchers follow:

    joining --all are here--> running(1) --all finished--> ended: success
                                 |  ^
                       one fails |  | budget left: (pause) next generation, fresh port
                                 v  |
                               stopping(g): until no process of g is left anywhere --budget used--> ended: failure

The stop in the middle is a barrier on purpose: a process of the old generation that still writes its checkpoint
while one of the new generation already reads it would leave the ranks with different parameters.
"""

from __future__ import annotations

from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from regatta_runtime.crew.messages import (
    COMMAND_NOT_EXECUTABLE,
    COMMAND_NOT_FOUND,
    CONFIG_ERROR,
    CREW_EXIT_CODE,
    END,
    FAILURES_KEPT,
    FINISHED,
    IDLE,
    JOIN_TIMEOUT,
    LEAVING,
    OOM_KILLED,
    RUN,
    STOP,
    USER_ERROR,
    WAIT,
    WORKER_LOST,
    Failure,
    Order,
    Report,
    Verdict,
)

QUICK_DEATH_SECONDS = 3.0  # a generation that lives shorter has hardly loaded its framework: the next one waits
LONGEST_PAUSE_SECONDS = 30.0
HELD_UP_SECONDS = 3.0  # without a tick: the launcher's whole process was stopped, or starved

JOINING, RUNNING, STOPPING, PAUSING, ENDED = "joining", "running", "stopping", "pausing", "ended"


class RefusedError(Exception):
    """A report that does not belong to this crew; the text goes back to its sender."""


class Rules(NamedTuple):
    """What the coordinator holds the crew to."""

    shape: Tuple[int, int, int]  # attempt, workers, processes
    restarts: int
    join_timeout: float
    lost_after: float  # silence on an open connection
    gone_after: float  # a closed connection that does not come back
    stop_limit: float
    fatal_exit_codes: FrozenSet[int]  # of the user's program
    fatal_oom: bool

    @property
    def workers(self) -> int:
        """Launchers that must join."""
        return self.shape[1]

    def forbid_restart(self, failure: Failure) -> bool:
        """Whether it is of no use, or not wanted, to start again after this failure, whatever the budget."""
        if failure.cause == USER_ERROR:
            return failure.exit_code in self.fatal_exit_codes
        if failure.cause == OOM_KILLED:
            return self.fatal_oom
        return failure.cause in (COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, CONFIG_ERROR)


class _Seat:
    """One worker's place in the crew, and what was last heard from it."""

    def __init__(self, report: Report, now: float) -> None:
        self.member = report.member
        self.state = report.state
        self.generation = report.generation
        self.heard_at = now
        self.left_at: Optional[float] = None
        self.reached_at = ""  # worker 0's address as this worker's connection sees it
        self.address, self.port = report.address, report.port  # the worker's own, for the next generation


class Coordinator:
    """One crew's state machine; after every call `order` is what all launchers should follow."""

    def __init__(self, rules: Rules, *, now: float, pick_port: Callable[[], int]) -> None:
        self.rules = rules
        self.phase = JOINING
        self.order = Order(WAIT, version=1)
        self._pick_port = pick_port
        self._seats: Dict[int, _Seat] = {}
        self._began = self._ticked_at = now
        self._deadline = now + rules.join_timeout
        self._failed: List[Tuple[float, Failure]] = []  # of this generation, with the time each happened
        self._overcome: Optional[Tuple[float, Failure]] = None  # the last of these, until the next generation starts
        self._quick_deaths = 0
        self._given_up: Optional[int] = None

    def hear(self, report: Report, *, address: str, now: float) -> None:
        """Take in one launcher's state; RefusedError when it is not of this crew."""
        seat = self._seat(report, now)
        seat.heard_at, seat.left_at = now, None
        seat.reached_at = address or seat.reached_at
        seat.state, seat.generation = report.state, report.generation
        seat.address, seat.port = report.address, report.port or seat.port
        failure = report.failure
        known = any(f.worker == report.worker for _, f in self._failed)
        if failure and not known and self.phase in (RUNNING, STOPPING) and failure.generation == self.order.generation:
            self._failed.append((now - report.failed_ago, failure))
        self._advance(now)

    def disconnected(self, worker: int, *, member: str, now: float) -> None:
        """A launcher's connection closed; it may come back."""
        seat = self._seats.get(worker)
        if seat is not None and seat.member == member and seat.left_at is None:
            seat.left_at = now

    def tick(self, now: float) -> None:
        """Let deadlines that have passed take effect; to be called every second or so."""
        if now - self._ticked_at > max(HELD_UP_SECONDS, self.rules.lost_after / 2):
            for seat in self._seats.values():  # we ourselves were held up: that is nobody else's silence
                seat.heard_at = now
        self._ticked_at = now
        if self.phase == JOINING:
            for worker in [w for w, seat in self._seats.items() if self._lost(seat, now)]:
                del self._seats[worker]
            if now >= self._deadline:
                self._end_badly(JOIN_TIMEOUT, f"after {self.rules.join_timeout:g} s still {self.waiting_for()}")
        elif self.phase != ENDED:
            lost = sorted(w for w, seat in self._seats.items() if self._lost(seat, now))
            if lost:
                self._given_up = lost[0]
                how = "closed its connection" if self._seats[lost[0]].left_at is not None else "no longer answers"
                self._end_badly(WORKER_LOST, f"the launcher of worker {lost[0]} {how}", worker=lost[0])
            elif self.phase == PAUSING and now >= self._deadline:
                self._run_next(now)
            elif self.phase == STOPPING and now >= self._deadline:
                late = next(w for w, seat in sorted(self._seats.items()) if not self._stopped(seat))
                self._end_badly(WORKER_LOST, f"worker {late} could not end its processes", worker=late)

    def next_deadline(self) -> float:
        """When `tick` is due at the latest."""
        if self.phase == ENDED:
            return float("inf")
        silent = [
            seat.heard_at + self.rules.lost_after if seat.left_at is None else seat.left_at + self.rules.gone_after
            for seat in self._seats.values()
        ]
        return min([*silent, self._deadline if self.phase != RUNNING else float("inf")])

    def waiting_for(self) -> str:
        """Whom the crew still waits for, in words."""
        missing = [w for w in range(self.rules.workers) if w not in self._seats]
        if not missing:
            return "no one is missing"
        names = ", ".join(str(w) for w in missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        plural = "s" if len(missing) > 1 else ""
        joined = self.rules.workers - len(missing)
        return f"waiting for worker{plural} {names}, {joined} of {self.rules.workers} joined"

    def current(self) -> Order:
        """The order with its note brought up to date."""
        return self.order._replace(note=self.waiting_for()) if self.phase == JOINING else self.order

    def all_left(self) -> bool:
        """Whether no launcher but worker 0's is connected any more, those apart that were given up."""
        others = [seat for worker, seat in self._seats.items() if worker not in (0, self._given_up)]
        return all(seat.left_at is not None for seat in others)

    def _seat(self, report: Report, now: float) -> _Seat:
        if report.shape != self.rules.shape:
            told = "attempt {}, {} workers, {} processes each".format(*report.shape)
            raise RefusedError(f"worker {report.worker} says {told}; this crew has other numbers")
        if report.worker >= self.rules.workers:
            raise RefusedError(f"worker {report.worker} is beyond the {self.rules.workers} workers of this crew")
        seat = self._seats.get(report.worker)
        if seat is not None and seat.member == report.member:
            return seat
        if self.phase != JOINING or (seat is not None and seat.left_at is None):
            raise RefusedError(f"another launcher already joined as worker {report.worker}")
        seat = self._seats[report.worker] = _Seat(report, now)
        return seat

    def _lost(self, seat: _Seat, now: float) -> bool:
        if seat.left_at is not None:
            return now >= seat.left_at + self.rules.gone_after
        return now >= seat.heard_at + self.rules.lost_after

    def _stopped(self, seat: _Seat) -> bool:
        return seat.state == IDLE and seat.generation >= self.order.generation

    def _advance(self, now: float) -> None:
        if self.phase == ENDED:
            return
        seats = self._seats
        leaving = [worker for worker in sorted(seats) if seats[worker].state == LEAVING]
        if leaving:
            self._end_badly(WORKER_LOST, f"worker {leaving[0]} was told to stop", worker=leaving[0], gentle=True)
        elif self.phase == JOINING:
            if len(seats) == self.rules.workers and all(s.left_at is None for s in seats.values()):
                self._run_next(now)
        elif self.phase == RUNNING:
            if self._failed:
                self._stop(now)
            elif all(s.state == FINISHED and s.generation == self.order.generation for s in seats.values()):
                self._end(Verdict(None))
        if self.phase == STOPPING and all(self._stopped(s) for s in seats.values()):
            self._after_failure(now)

    def _run_next(self, now: float) -> None:
        generation = self.order.generation + 1
        self._account(now)
        self.phase, self._failed, self._began = RUNNING, [], now
        self._give(RUN, generation=generation, master=(self._master_address(), self._pick_port()), peers=self._peers())

    def _master_address(self) -> str:
        # Where the others' connections arrive is an address of worker 0 that is proven to be reachable; its own
        # host name may not resolve yet, and the same address for all ranks is what a script may compare.
        others = [self._seats[w].reached_at for w in sorted(self._seats) if w != 0 and self._seats[w].reached_at]
        return others[0] if others else "127.0.0.1"

    def _peers(self) -> Tuple[str, ...]:
        seats = [self._seats[worker] for worker in range(self.rules.workers)]
        if len(seats) == 1 or not all(seat.port for seat in seats):
            return ()
        seats[0].address = self._master_address()  # its own connection goes over the loopback
        return tuple(f"[{s.address}]:{s.port}" if ":" in s.address else f"{s.address}:{s.port}" for s in seats)

    def _stop(self, now: float) -> None:
        self.phase, self._deadline = STOPPING, now + self.rules.stop_limit
        self._give(STOP)

    def _after_failure(self, now: float) -> None:
        failed_at, first = min(self._failed, key=lambda timed: timed[0])
        if self.rules.forbid_restart(first) or self.order.restarts >= self.rules.restarts:
            self._end(Verdict(first))
            return
        self._overcome = failed_at, first
        self._quick_deaths = self._quick_deaths + 1 if failed_at - self._began < QUICK_DEATH_SECONDS else 0
        pause = min(2.0 ** (self._quick_deaths - 2), LONGEST_PAUSE_SECONDS) if self._quick_deaths > 1 else 0.0
        if pause:
            self.phase, self._deadline = PAUSING, now + pause
            self._give(WAIT, note=f"starting again in {pause:g} s: {self._quick_deaths} generations died at once")
        else:
            self._run_next(now)

    def _account(self, now: Optional[float]) -> None:
        """Tell of the failure that was overcome, once it is known what it cost, or that nothing comes after it."""
        if self._overcome is None:
            return
        failed_at, failure = self._overcome
        self._overcome = None
        failure = failure._replace(lost_seconds=None if now is None else round(max(0.0, now - failed_at), 3))
        self.order = self.order._replace(
            failures=(*self.order.failures, failure)[-FAILURES_KEPT:], restarts=self.order.restarts + 1
        )

    def _end_badly(self, cause: str, message: str, *, worker: Optional[int] = None, gentle: bool = False) -> None:
        missing = next((w for w in range(self.rules.workers) if w not in self._seats), 0)
        failure = Failure(
            generation=self.order.generation,
            worker=missing if worker is None else worker,
            rank=None,
            exit_code=CREW_EXIT_CODE,
            signal=None,
            cause=cause,
            message=message,
        )
        self._end(Verdict(failure, gentle))

    def _end(self, verdict: Verdict) -> None:
        self.phase = ENDED
        self._account(None)
        self._give(END, verdict=verdict)

    def _give(
        self,
        kind: str,
        *,
        generation: Optional[int] = None,
        master: Optional[Tuple[str, int]] = None,
        peers: Tuple[str, ...] = (),
        note: str = "",
        verdict: Optional[Verdict] = None,
    ) -> None:
        self.order = self.order._replace(
            kind=kind,
            version=self.order.version + 1,
            generation=self.order.generation if generation is None else generation,
            master=master or self.order.master,
            peers=peers,
            note=note,
            verdict=verdict,
        )
