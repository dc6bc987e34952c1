"""The crew's decisions, without sockets, processes or a clock."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regatta_runtime.crew.coordinator import Coordinator, RefusedError, Rules
from regatta_runtime.crew.messages import (
    END,
    FAILED,
    FINISHED,
    IDLE,
    LEAVING,
    RUN,
    RUNNING,
    STOP,
    WAIT,
    Failure,
    Report,
)


@dataclass
class Stage:
    """A coordinator with launchers that are only spoken for, and a clock that is only set."""

    workers: int = 2
    restarts: int = 3
    fatal: frozenset[int] = frozenset()
    fatal_oom: bool = False
    now: float = 1000.0
    coordinator: Coordinator = field(init=False)

    def __post_init__(self) -> None:
        rules = Rules(
            shape=(1, self.workers, 1),
            restarts=self.restarts,
            join_timeout=60.0,
            lost_after=15.0,
            gone_after=3.0,
            stop_limit=35.0,
            fatal_exit_codes=self.fatal,
            fatal_oom=self.fatal_oom,
        )
        ports = itertools.count(20_000)
        self.coordinator = Coordinator(rules, now=self.now, pick_port=lambda: next(ports))

    def hear(
        self,
        worker: int,
        state: str = IDLE,
        generation: int = 0,
        *,
        exit_code: int = 0,
        ago: float = 0.0,
        member: str = "",
        cause: str = "UserError",
        shape: tuple[int, int, int] | None = None,
        host: str = "",
        port: int = 0,
    ) -> Stage:
        failure = Failure(generation, worker, worker, exit_code, None, cause, "words") if exit_code else None
        report = Report(
            worker=worker,
            member=member or f"member-{worker}",
            shape=shape or self.coordinator.rules.shape,
            state=state,
            generation=generation,
            seen=0,
            failure=failure,
            failed_ago=ago,
            address=host,
            port=port,
        )
        self.coordinator.hear(report, address=f"10.0.0.{worker}", now=self.now)
        return self

    def all(self, state: str = IDLE, generation: int = 0) -> Stage:
        for worker in range(self.workers):
            self.hear(worker, state, generation)
        return self

    def later(self, seconds: float) -> Stage:
        """Let time pass as the launcher does: with a tick every second."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            self.coordinator.tick(self.now)
        return self

    def live(self, seconds: int, generation: int) -> Stage:
        """Let time pass with everyone's heartbeats."""
        for _ in range(seconds):
            self.later(1).all(RUNNING, generation)
        return self

    def fail(self, worker: int, generation: int, *, exit_code: int = 1, cause: str = "UserError") -> Stage:
        """One worker fails and the whole crew stops."""
        return self.hear(worker, FAILED, generation, exit_code=exit_code, cause=cause).all(IDLE, generation)

    @property
    def order(self) -> str:
        return self.coordinator.order.kind

    @property
    def generation(self) -> int:
        return self.coordinator.order.generation

    @property
    def verdict(self) -> Failure | None:
        assert self.coordinator.order.verdict is not None
        return self.coordinator.order.verdict.failure


def running(**options: int) -> Stage:
    stage = Stage(**options).all()  # type: ignore[arg-type]
    return stage.all(RUNNING, 1)


def test_all_must_join_before_the_first_generation() -> None:
    stage = Stage(workers=3).hear(2).hear(0)
    assert stage.order == WAIT
    assert stage.coordinator.waiting_for() == "waiting for worker 1, 2 of 3 joined"
    stage.hear(1)
    assert (stage.order, stage.generation) == (RUN, 1)


def test_a_long_list_of_missing_workers_is_cut() -> None:
    stage = Stage(workers=100).hear(0)
    assert stage.coordinator.waiting_for() == "waiting for workers 1, 2, 3, 4, 5, 6, 7, 8 and 91 more, 1 of 100 joined"


def test_the_others_are_sent_where_worker_0_is_known_to_be_reachable() -> None:
    assert Stage(workers=3).all().coordinator.order.master == ("10.0.0.1", 20_000)
    assert Stage(workers=1).all().coordinator.order.master == ("127.0.0.1", 20_000)


def test_where_all_offer_ports_all_are_told_of_all_and_of_new_ones_in_the_next_generation() -> None:
    stage = Stage(workers=3)
    for worker, host in enumerate(("127.0.0.1", "10.0.0.8", "fd00::9")):
        stage.hear(worker, host=host, port=7000 + worker)
    # Of itself worker 0 knows only the loopback; the others have proven where it is reached.
    assert stage.coordinator.order.peers == ("10.0.0.1:7000", "10.0.0.8:7001", "[fd00::9]:7002")
    stage.all(RUNNING, 1).hear(1, FAILED, 1, exit_code=1)
    assert (stage.order, stage.coordinator.order.peers) == (STOP, ())
    for worker, host in enumerate(("127.0.0.1", "10.0.0.8", "fd00::9")):
        stage.hear(worker, IDLE, 1, host=host, port=8000 + worker)
    assert stage.coordinator.order.peers == ("10.0.0.1:8000", "10.0.0.8:8001", "[fd00::9]:8002")


def test_nobody_is_listed_where_launchers_offer_no_ports_or_one_is_alone() -> None:
    assert Stage(workers=3).all().coordinator.order.peers == ()
    assert Stage(workers=1).hear(0, port=7000).coordinator.order.peers == ()


def test_a_program_that_does_not_fit_its_job_is_not_started_again() -> None:
    stage = running(restarts=3).fail(1, 1, cause="ConfigError")
    assert stage.order == END


def test_a_launcher_that_vanishes_while_others_join_may_be_replaced() -> None:
    stage = Stage().hear(1)
    stage.coordinator.disconnected(1, member="member-1", now=stage.now)
    stage.hear(0)
    assert stage.order == WAIT
    stage.hear(1, member="another")
    assert stage.order == RUN


def test_a_vanished_launcher_is_missed_again() -> None:
    stage = Stage().hear(1)
    stage.coordinator.disconnected(1, member="member-1", now=stage.now)
    stage.later(4)
    assert stage.coordinator.waiting_for() == "waiting for workers 0, 1, 0 of 2 joined"


@pytest.mark.parametrize(
    ("worker", "options", "words"),
    [
        (1, {"member": "another"}, "already joined as worker 1"),
        (7, {}, "beyond the 2 workers"),
        (1, {"shape": (2, 2, 1)}, "other numbers"),
        (1, {"shape": (1, 3, 1)}, "other numbers"),
    ],
    ids=["second", "index", "attempt", "size"],
)
def test_who_is_not_of_the_crew_is_refused(worker: int, options: dict[str, object], words: str) -> None:
    stage = Stage().hear(1)
    with pytest.raises(RefusedError, match=words):
        stage.hear(worker, **options)  # type: ignore[arg-type]


def test_success_needs_all() -> None:
    stage = running().hear(0, FINISHED, 1)
    assert stage.order == RUN
    stage.hear(1, FINISHED, 1)
    assert stage.order == END
    assert stage.verdict is None


def test_after_a_failure_all_stop_before_any_starts_again() -> None:
    stage = running(workers=3).hear(1, FAILED, 1, exit_code=5)
    assert (stage.order, stage.generation) == (STOP, 1)
    stage.hear(0, IDLE, 1).hear(1, IDLE, 1)
    assert stage.order == STOP
    stage.hear(2, IDLE, 1)
    assert (stage.order, stage.generation) == (RUN, 2)
    assert stage.coordinator.order.master[1] == 20_001


def test_a_worker_that_never_started_the_failed_generation_is_waited_for_too() -> None:
    stage = Stage().all().hear(1, RUNNING, 1).hear(1, FAILED, 1, exit_code=5).hear(1, IDLE, 1)
    assert stage.order == STOP
    stage.hear(0, IDLE, 1)
    assert stage.order == RUN


def test_the_failure_that_happened_first_is_the_cause_not_the_one_heard_first() -> None:
    stage = running(restarts=0).hear(0, FAILED, 1, exit_code=9)
    stage.now += 0.3
    stage.hear(1, FAILED, 1, exit_code=5, ago=0.5).all(IDLE, 1)
    assert stage.verdict is not None
    assert (stage.verdict.worker, stage.verdict.exit_code) == (1, 5)


def test_a_repeated_report_counts_once() -> None:
    stage = running(restarts=1).hear(1, FAILED, 1, exit_code=5).hear(1, FAILED, 1, exit_code=5).all(IDLE, 1)
    assert stage.coordinator.order.restarts == 1
    stage.hear(1, FAILED, 1, exit_code=5)  # late news of a generation that is over
    assert stage.order == RUN


@pytest.mark.parametrize("restarts", [0, 1, 4])
def test_the_budget_is_kept_exactly(restarts: int) -> None:
    stage = running(restarts=restarts)
    for generation in range(1, restarts + 1):
        stage.live(15, generation).fail(1, generation)
        assert (stage.order, stage.generation) == (RUN, generation + 1)
    stage.fail(0, restarts + 1, exit_code=3)
    assert stage.order == END
    assert stage.verdict is not None
    assert stage.verdict.exit_code == 3
    assert stage.coordinator.order.restarts == restarts


@pytest.mark.parametrize(
    ("exit_code", "cause", "fatal_oom", "follows"),
    [
        pytest.param(42, "UserError", False, END, id="fatal exit code"),
        pytest.param(41, "UserError", True, RUN, id="another exit code"),
        pytest.param(137, "OOMKilled", True, END, id="fatal out of memory"),
        pytest.param(137, "OOMKilled", False, RUN, id="out of memory"),
        pytest.param(42, "OOMKilled", False, RUN, id="an exit code rule is about the program's own exits"),
        pytest.param(127, "CommandNotFound", False, END, id="command not found"),
    ],
)
def test_what_no_restart_can_heal_or_none_shall_is_not_restarted(
    exit_code: int, cause: str, fatal_oom: bool, follows: str
) -> None:
    stage = Stage(fatal=frozenset({42}), fatal_oom=fatal_oom).all().all(RUNNING, 1)
    stage.fail(0, 1, exit_code=exit_code, cause=cause)
    assert stage.order == follows


def test_what_a_failure_cost_is_known_when_the_next_generation_starts() -> None:
    stage = running(restarts=10).live(20, 1)
    stage.hear(1, FAILED, 1, exit_code=1, ago=2.0).later(3).all(IDLE, 1)
    assert [failure.lost_seconds for failure in stage.coordinator.order.failures] == [5.0]
    stage.all(RUNNING, 2).fail(0, 2).all(RUNNING, 3).fail(0, 3)
    assert stage.order == WAIT, "two quick deaths make the next generation wait"
    assert len(stage.coordinator.order.failures) == stage.coordinator.order.restarts == 2
    stage.later(1)
    assert [failure.lost_seconds for failure in stage.coordinator.order.failures] == [5.0, 0.0, 1.0]
    assert stage.coordinator.order.restarts == 3


def test_a_failure_after_which_the_crew_ends_without_another_generation_is_told_as_well() -> None:
    stage = running(restarts=10).fail(0, 1).all(RUNNING, 2).fail(0, 2, exit_code=7)
    assert stage.order == WAIT
    stage.hear(1, LEAVING, 2)
    order = stage.coordinator.order
    assert stage.verdict is not None
    assert (stage.verdict.cause, order.restarts) == ("WorkerLost", 2)
    assert [(failure.exit_code, failure.lost_seconds) for failure in order.failures] == [(1, 0.0), (7, None)]


def test_generations_that_die_at_once_make_the_next_ones_wait_longer_and_longer() -> None:
    stage = running(restarts=10)
    pauses = []
    for generation in range(1, 9):
        stage.fail(0, generation)
        began = stage.now
        while stage.order == WAIT:
            stage.later(0.5).all(IDLE, generation)
        pauses.append(stage.now - began)
        stage.all(RUNNING, generation + 1)
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_generation_that_lived_makes_the_next_one_start_at_once() -> None:
    stage = running(restarts=10).fail(0, 1).all(RUNNING, 2).fail(0, 2)
    assert stage.order == WAIT
    stage.later(1)
    assert (stage.order, stage.generation) == (RUN, 3)
    assert stage.live(12, 3).fail(0, 3).order == RUN


def test_silence_ends_the_crew_and_a_heartbeat_prevents_it() -> None:
    stage = running()
    for _ in range(20):
        stage.later(1).hear(0, RUNNING, 1)
    assert stage.order == END
    assert stage.verdict is not None
    assert (stage.verdict.cause, stage.verdict.worker) == ("WorkerLost", 1)
    steady = running()
    for _ in range(20):
        steady.later(10).all(RUNNING, 1)
    assert steady.order == RUN


def test_a_closed_connection_is_noticed_sooner_and_a_new_one_heals_it() -> None:
    stage = running()
    stage.coordinator.disconnected(1, member="member-1", now=stage.now)
    stage.later(2).hear(1, RUNNING, 1).later(5)
    assert stage.order == RUN
    stage.coordinator.disconnected(1, member="member-1", now=stage.now)
    stage.later(3)
    assert stage.verdict is not None
    assert stage.verdict.message == "the launcher of worker 1 closed its connection"


def test_its_own_being_held_up_is_not_the_others_silence() -> None:
    stage = running()
    stage.now += 100
    stage.coordinator.tick(stage.now)
    assert stage.order == RUN


def test_a_worker_that_cannot_end_its_processes_ends_the_crew() -> None:
    stage = running().hear(0, FAILED, 1, exit_code=5).hear(0, IDLE, 1)
    for _ in range(36):
        stage.later(1).hear(0, IDLE, 1).hear(1, RUNNING, 1)
    assert stage.verdict is not None
    assert stage.verdict.message == "worker 1 could not end its processes"


def test_a_worker_that_is_told_to_stop_ends_the_crew_gently() -> None:
    stage = running().hear(1, LEAVING, 1)
    assert stage.order == END
    assert stage.coordinator.order.verdict is not None
    assert stage.coordinator.order.verdict.gentle
    assert stage.verdict is not None
    assert (stage.verdict.cause, stage.verdict.exit_code) == ("WorkerLost", 72)


def test_the_end_is_final() -> None:
    stage = running().all(FINISHED, 1)
    order = stage.coordinator.order
    stage.hear(1, LEAVING, 1).hear(0, FAILED, 1, exit_code=3).later(100)
    assert stage.coordinator.order == order


def test_everyone_has_left_when_only_worker_0_or_the_lost_are_still_connected() -> None:
    stage = running(workers=3)
    assert not stage.coordinator.all_left()
    stage.coordinator.disconnected(1, member="member-1", now=stage.now)
    for _ in range(20):
        stage.later(1).hear(0, RUNNING, 1)
    assert stage.verdict is not None
    stage.coordinator.disconnected(3 - stage.verdict.worker, member=f"member-{3 - stage.verdict.worker}", now=stage.now)
    assert stage.coordinator.all_left()


@dataclass
class Pod:
    """A launcher as the coordinator sees it: follows orders, and its processes do what the test decides."""

    worker: int
    state: str = IDLE
    generation: int = 0
    exit_code: int = 0
    ended: bool = False


ACTIONS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["sync", "finish", "fail", "time"])), min_size=20, max_size=200
)


@settings(max_examples=300)
@given(ACTIONS, st.integers(0, 3))
def test_whatever_happens_in_whatever_order_generations_never_overlap_and_all_hear_one_end(
    actions: list[tuple[int, str]], restarts: int
) -> None:
    stage = Stage(workers=4, restarts=restarts)
    pods = [Pod(worker) for worker in range(4)]
    ends = set()

    def sync(pod: Pod) -> None:
        stage.hear(pod.worker, pod.state, pod.generation, exit_code=pod.exit_code)
        order = stage.coordinator.order
        if order.kind == RUN and order.generation > pod.generation:
            living = [p for p in pods if p.state not in (IDLE, FINISHED) and p.generation != order.generation]
            assert not living, "a process of an older generation lives"
            assert pod.state == IDLE
            pod.state, pod.generation = RUNNING, order.generation
        elif order.kind == STOP:
            pod.state, pod.generation, pod.exit_code = IDLE, order.generation, 0
        elif order.kind == END:
            ends.add(order.verdict)
            pod.ended = True

    for worker, action in actions:
        pod = pods[worker]
        if action == "sync":
            sync(pod)
        elif action == "time":
            stage.later(1)
            for each in pods:
                sync(each)
        elif pod.state == RUNNING:
            pod.state = FINISHED if action == "finish" else FAILED
            pod.exit_code = 0 if action == "finish" else 1 + worker
        assert stage.coordinator.order.restarts <= restarts
        assert stage.generation <= restarts + 1
    assert len(ends) <= 1
    if stage.order == END and stage.verdict is None:
        assert all(pod.state == FINISHED or pod.ended for pod in pods)
