"""Whatever part of a crew is lost, its processes start again in place, or all of it ends and says what was lost."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from tests.unit.runtime.crew import Crew

LOST_AFTER = "2"
TICKS = """
if generation == 1:
    say("lives")
    while True:
        time.sleep(0.1)
        say(f"rank {rank} ticks")
say(f"rank {rank} in generation {generation}")
"""
TICKS_FOR_LONG = 45
"""More than twice as long as the silence after which a launcher is lost."""


def kill_ranks(crew: Crew, *ranks: int) -> None:
    victims = [pid for pid, rank in crew.processes().items() if rank in ranks]
    assert len(victims) == len(ranks)
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):  # its launcher was quicker: the first death ends them all
            os.kill(victim, signal.SIGKILL)


@pytest.mark.parametrize(
    "ranks",
    [(2,), (2, 3), (0, 1), (1, 4), (0, 1, 2, 3, 4, 5)],
    ids=["one", "all of a worker", "all of the coordinator's worker", "one of each of two workers", "all"],
)
def test_however_many_processes_die_at_once_it_is_one_restart_in_place(crew: Crew, ranks: tuple[int, ...]) -> None:
    crew.of(3, 2).script("wait() if generation == 1 else say(f'rank {rank} again')").start()
    crew.until("waiting in generation 1", times=6)
    kill_ranks(crew, *ranks)
    assert crew.wait() == [0, 0, 0]
    assert sorted(line for line in crew.output.splitlines() if line.endswith("again")) == [
        f"[{rank}] rank {rank} again" for rank in range(6)
    ]
    for launcher in crew.launchers.values():
        told = launcher.termination()
        assert (told["generation"], told["restarts"]) == (2, 1)
        [failure] = told["failures"]
        assert failure["rank"] in ranks
        assert (failure["cause"], failure["signal"]) == ("UserError", signal.SIGKILL)


def test_a_process_that_is_stopped_is_no_failure_however_long(crew: Crew) -> None:
    crew.of(2).script(TICKS).env(REGATTA_LOST_AFTER=LOST_AFTER).start()
    crew.until("lives", times=2)
    stopped = crew.pid_of(1)
    os.kill(stopped, signal.SIGSTOP)
    crew.until("rank 0 ticks", times=TICKS_FOR_LONG)
    crew.until_page("/progress", '"state": "running"', worker=1)
    assert crew.pid_of(1) == stopped
    assert '"restarts": 0' in crew.launchers[0].get("/progress")[1]


def test_a_process_that_is_stopped_ends_with_its_generation_all_the_same(crew: Crew) -> None:
    crew.of(2).script(TICKS).start()
    crew.until("lives", times=2)
    os.kill(crew.pid_of(1), signal.SIGSTOP)
    kill_ranks(crew, 0)
    assert crew.wait() == [0, 0]
    assert "[1] rank 1 in generation 2" in crew.output


@pytest.mark.parametrize("held_up", [0, 1])
def test_a_launcher_that_is_held_up_for_a_moment_is_not_lost(crew: Crew, held_up: int) -> None:
    crew.of(2).script(TICKS).env(REGATTA_LOST_AFTER="20").start()
    crew.until("lives", times=2)
    os.kill(crew.launchers[held_up].pid, signal.SIGSTOP)
    crew.until(f"rank {1 - held_up} ticks", times=30)
    os.kill(crew.launchers[held_up].pid, signal.SIGCONT)
    crew.until(f"rank {held_up} ticks", times=50)
    kill_ranks(crew, 0)
    assert crew.wait() == [0, 0]
    assert crew.launchers[1].termination()["restarts"] == 1


@pytest.mark.parametrize("hung", [0, 1])
def test_a_launcher_that_hung_ends_its_processes_when_it_finds_its_crew_over(crew: Crew, hung: int) -> None:
    crew.of(2, 2).script(TICKS).env(REGATTA_LOST_AFTER=LOST_AFTER, REGATTA_KILL_GRACE="1").start()
    crew.until("lives", times=4)
    os.kill(crew.launchers[hung].pid, signal.SIGSTOP)
    assert crew.launchers[1 - hung].wait() == 72
    assert set(crew.processes().values()) == {2 * hung, 2 * hung + 1}, "nobody else can end what it started"
    os.kill(crew.launchers[hung].pid, signal.SIGCONT)
    assert crew.launchers[hung].wait() == 72
    assert crew.launchers[hung].termination()["cause"] in {"CoordinatorLost", "WorkerLost"}
    assert not crew.processes()


@pytest.mark.parametrize("hung", [0, 1])
def test_a_launcher_that_hung_while_its_pod_was_deleted_ends_when_it_goes_on(crew: Crew, hung: int) -> None:
    crew.of(2).script(TICKS).env(REGATTA_LOST_AFTER=LOST_AFTER).start()
    crew.until("lives", times=2)
    os.kill(crew.launchers[hung].pid, signal.SIGSTOP)
    assert crew.launchers[1 - hung].wait() == 72
    os.kill(crew.launchers[hung].pid, signal.SIGTERM)
    os.kill(crew.launchers[hung].pid, signal.SIGCONT)
    assert crew.launchers[hung].wait() in {72, 143}, "whichever it hears of first: its crew's end, or its own"
    assert not crew.processes()


def test_a_coordinator_that_hung_does_not_disturb_the_next_attempt(crew: Crew) -> None:
    crew.of(2).script(TICKS).env(REGATTA_LOST_AFTER=LOST_AFTER).start()
    crew.until("lives", times=2)
    old = crew.launchers[0]
    os.kill(old.pid, signal.SIGSTOP)
    assert crew.launchers[1].wait() == 72

    crew.next_attempt().start()
    crew.until("lives", times=2)
    os.kill(old.pid, signal.SIGCONT)
    assert old.wait() == 72
    assert len(crew.processes()) == 2
    kill_ranks(crew, 0)
    assert crew.wait() == [0, 0]
