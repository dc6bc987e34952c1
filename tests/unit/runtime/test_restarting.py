"""A process that dies takes the generation with it; all processes start again in the same pods, on a fresh port."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.unit.runtime.crew import Crew

DIE_ONCE = """
if generation == 1 and rank == {rank}:
    {death}
say(f"rank {{rank}} in generation {{generation}}")
if generation == 1: wait()
"""


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("death", "exit_code", "signum", "words"),
    [
        ("sys.exit(3)", 3, None, "exited with code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, 9, "was killed by SIGKILL"),
        ("raise ValueError('bad batch')", 1, None, "exited with code 1: ValueError: bad batch"),
    ],
    ids=["exit", "kill", "exception"],
)
def test_whoever_dies_and_however_all_start_again(
    crew: Crew, rank: int, death: str, exit_code: int, signum: int | None, words: str
) -> None:
    crew.of(2, 2).script(DIE_ONCE.format(rank=rank, death=death)).start()
    assert crew.wait() == [0, 0]
    again = [line for line in crew.output.splitlines() if line.endswith("in generation 2") and "] rank" in line]
    assert sorted(again) == [f"[{r}] rank {r} in generation 2" for r in range(4)]
    for launcher in crew.launchers.values():
        told = launcher.termination()
        assert (told["outcome"], told["generation"], told["restarts"]) == ("Succeeded", 2, 1)
        (failure,) = told["failures"]
        assert failure.pop("at")
        assert 0 < failure.pop("lostSeconds") < 30
        assert failure == {
            "generation": 1,
            "worker": rank // 2,
            "rank": rank,
            "exitCode": exit_code,
            "signal": signum,
            "cause": "UserError",
            "message": f"rank {rank} on worker {rank // 2} {words}",
        }


def test_every_generation_meets_on_a_port_of_its_own(crew: Crew) -> None:
    crew.of(2).script("sys.exit(generation < 4)").start()
    assert crew.wait() == [0, 0]
    ports = re.findall(r"generation (\d) starts: .*:(\d+)$", crew.output, re.MULTILINE)
    assert len(ports) == 8
    assert len({port for _, port in ports}) == 4


def test_a_worker_that_had_finished_starts_again_with_the_others(crew: Crew) -> None:
    crew.of(2).script("""
        if generation == 1 and rank == 1: wait()
        say(f"rank {rank} done in generation {generation}")
    """)
    crew.start()
    crew.until("rank 0 done in generation 1")
    crew.until("waiting in generation 1")
    os.kill(crew.pid_of(1), signal.SIGKILL)
    assert crew.wait() == [0, 0]
    assert "[0] rank 0 done in generation 2" in crew.output


def test_a_finished_worker_waits_for_the_verdict_of_the_crew(crew: Crew) -> None:
    crew.of(2).script("wait() if rank == 0 else say('done')").start()
    crew.until("done", worker=1)
    crew.until_page("/progress", '"state": "finished"', worker=1)
    assert crew.launchers[1].popen.poll() is None
    os.kill(crew.pid_of(0), signal.SIGUSR1)  # its default action ends it: generation 2 waits again
    crew.until("waiting in generation 2", worker=0)
    assert crew.launchers[1].popen.poll() is None


def test_a_used_up_budget_ends_all_launchers_with_the_same_failure(crew: Crew) -> None:
    crew.of(3).script("sys.exit(40 + generation) if rank == 1 else wait()").env(REGATTA_RESTARTS="2").start()
    assert crew.wait() == [43, 43, 43]
    told = [launcher.termination() for launcher in crew.launchers.values()]
    for words in told:
        words.pop("at")
        words.pop("time")  # each by its own clock
    assert told[0] == told[1] == told[2]
    assert told[0]["outcome"] == "Failed"
    assert (told[0]["cause"], told[0]["worker"], told[0]["rank"]) == ("UserError", 1, 1)
    assert (told[0]["exitCode"], told[0]["generation"], told[0]["restarts"]) == (43, 3, 2)
    assert [failure["exitCode"] for failure in told[0]["failures"]] == [41, 42]


def test_the_first_failure_counts_though_another_is_heard_of_earlier(crew: Crew) -> None:
    # Rank 0 dies of rank 1's death a moment later, as a peer in a collective does, but is heard of earlier: rank 1's
    # last words are still awaited then, because a child of it keeps its stderr open.
    crew.of(2).env(REGATTA_RESTARTS="0", REGATTA_X=str(crew.folder / "fifo"))
    os.mkfifo(crew.folder / "fifo")
    crew.script("""
        if rank == 0:
            open(os.environ["REGATTA_X"]).read()
            time.sleep(0.1)
            sys.exit(9)
        fifo = open(os.environ["REGATTA_X"], "w")
        if os.fork() == 0:
            fifo.close()
            wait()
        os._exit(5)
    """).start()
    assert crew.wait() == [5, 5]
    assert crew.launchers[0].termination()["rank"] == 1


def test_exit_codes_that_the_job_calls_fatal_are_not_retried(crew: Crew) -> None:
    crew.of(2).script("sys.exit(42) if rank == 0 else wait()").env(REGATTA_FATAL_EXIT_CODES="41,42").start()
    assert crew.wait() == [42, 42]
    assert crew.launchers[1].termination()["restarts"] == 0


COUNTS_KILLS_IN = """
import sys
from regatta_runtime import oom
oom.EVENTS = {file!r}
from regatta_runtime.launch import main
sys.exit(main(sys.argv[1:]))
"""
RUNS_OUT_OF_MEMORY_ONCE = """
if generation == 1:
    open(os.environ["EVENTS"], "w").write("low 0\\noom_kill {kills}\\n")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("kills", "fatal", "codes", "cause"),
    [
        pytest.param(2, "1", [137], "OOMKilled", id="out of memory, where that is fatal"),
        pytest.param(2, "0", [0], "OOMKilled", id="out of memory"),
        pytest.param(1, "1", [0], "UserError", id="killed by something else"),
    ],
)
def test_running_out_of_memory_is_restarted_unless_the_job_forbids_it(
    crew: Crew, kills: int, fatal: str, codes: list[int], cause: str
) -> None:
    events = crew.folder / "memory.events"
    events.write_text("low 0\noom_kill 1\n")
    crew.entry = ["-c", COUNTS_KILLS_IN.format(file=str(events))]
    crew.of(1).script(RUNS_OUT_OF_MEMORY_ONCE.format(kills=kills))
    crew.env(REGATTA_FATAL_OOM=fatal, EVENTS=str(events)).start()
    assert crew.wait() == codes
    told = crew.launchers[0].termination()
    assert [failure["cause"] for failure in [*told.get("failures", []), told] if "cause" in failure] == [cause]


def test_what_a_process_started_dies_with_its_generation(crew: Crew) -> None:
    crew.of(1, 2)
    crew.script("""
        if generation == 2: sys.exit(0)
        for stranger in (False, True):
            if os.fork() == 0:
                if stranger: os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                say("grandchild")
                signal.pause()
        wait()
    """).start()
    crew.until("grandchild", times=4)
    crew.until("waiting in generation 1", times=2)
    # Those that moved to a session of their own are found by their parents or the mark in their environment.
    before = crew.processes()
    assert len(before) == 6
    os.kill(min(pid for pid, rank in before.items() if rank == 1), signal.SIGKILL)
    assert crew.wait() == [0]
    assert not crew.processes()
    assert not [pid for pid in before if Path(f"/proc/{pid}/cmdline").exists() and _alive(pid)]


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_processes_that_ignore_sigterm_are_killed_within_the_restarts_short_grace(crew: Crew) -> None:
    crew.of(2).env(REGATTA_KILL_GRACE="0.2")
    crew.script("""
        if generation == 2: sys.exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait()
    """).start()
    crew.until("waiting in generation 1", times=2)
    os.kill(crew.pid_of(1), signal.SIGKILL)
    assert crew.wait() == [0, 0]


def test_no_old_process_lives_when_a_new_generation_starts(crew: Crew) -> None:
    # Each process of generation 1 that is ended writes its last line before it goes; with the barrier none of them
    # can come after a line of generation 2, in whatever pod.
    crew.of(3).script("""
        def end(*_):
            say("generation 1 ends")
            os._exit(0)
        if generation == 1:
            signal.signal(signal.SIGTERM, end)
            if rank != 2: wait()
            say("waiting in generation 1")
            open(os.environ["GO"]).read()
            sys.exit(1)
        say("generation 2 begins")
    """)
    os.mkfifo(crew.folder / "go")
    crew.env(GO=str(crew.folder / "go")).start()
    crew.until("waiting in generation 1", times=3)
    (crew.folder / "go").write_text("go")
    assert crew.wait() == [0, 0, 0]
    for launcher in crew.launchers.values():
        lines = [line for line in launcher.output.splitlines() if "generation 1 ends" in line or "2 begins" in line]
        assert "2 begins" in lines[-1]
        assert all("1 ends" in line for line in lines[:-1])
    assert crew.output.count("generation 1 ends") == 2


def test_restart_counts_are_told_to_the_processes_and_in_progress(crew: Crew) -> None:
    crew.of(1).env(REGATTA_RESTARTS_USED="2", REGATTA_RESTARTS="5")
    crew.script("""
        if generation < 2: sys.exit(1)
        say("count", os.environ["TORCHELASTIC_RESTART_COUNT"], "of", os.environ["TORCHELASTIC_MAX_RESTARTS"])
        wait()
    """).start()
    crew.until("[0] count 3 of 7")
    crew.until_page("/progress", '"restarts": 1')
