"""However a crew ends, every launcher of it ends, soon, with the right code and the right last words."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.unit.runtime.crew import Crew

WAIT = "wait()"
SIGNALLED_AT_ONCE = """
import regatta_runtime.early, os, signal, sys
os.kill(os.getpid(), signal.SIGTERM)
from regatta_runtime.launch import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_coordinator_ends_the_crew(crew: Crew) -> None:
    crew.of(3).script(WAIT).start()
    crew.until("waiting in generation 1", times=3)
    os.kill(crew.launchers[0].pid, signal.SIGKILL)
    assert crew.wait() == [-9, 72, 72]
    for worker in (1, 2):
        told = crew.launchers[worker].termination()
        assert (told["outcome"], told["cause"], told["exitCode"]) == ("Failed", "CoordinatorLost", 72)
        assert told["message"].startswith("lost worker 0, which coordinates the crew: its port is closed")


def test_a_killed_worker_ends_the_crew_and_is_named(crew: Crew) -> None:
    crew.of(3).script(WAIT).env(REGATTA_LOST_AFTER="2").start()
    crew.until("waiting in generation 1", times=3)
    os.kill(crew.launchers[2].pid, signal.SIGKILL)
    assert crew.wait() == [72, 72, -9]
    for worker in (0, 1):
        told = crew.launchers[worker].termination()
        assert (told["outcome"], told["cause"], told["worker"], told["rank"]) == ("Failed", "WorkerLost", 2, None)
        assert told["message"] == "the launcher of worker 2 closed its connection"


@pytest.mark.parametrize(("frozen", "cause"), [(0, "CoordinatorLost"), (1, "WorkerLost")])
def test_a_launcher_that_hangs_ends_the_crew(crew: Crew, frozen: int, cause: str) -> None:
    crew.of(2).script(WAIT).env(REGATTA_LOST_AFTER="1").start()
    crew.until("waiting in generation 1", times=2)
    os.kill(crew.launchers[frozen].pid, signal.SIGSTOP)
    assert crew.launchers[1 - frozen].wait() == 72
    assert crew.launchers[1 - frozen].termination()["cause"] == cause
    os.kill(crew.launchers[frozen].pid, signal.SIGCONT)
    assert crew.launchers[frozen].wait() == 72
    assert not crew.processes()


def test_worker_0_leaves_last(crew: Crew) -> None:
    # Worker 1's process takes its time to end: its launcher can only have heard the verdict if worker 0 was there.
    crew.of(2).env(REGATTA_RESTARTS="0").script("""
        def end(*_):
            say("saving")
            open(os.environ["GO"]).read()
            os._exit(0)
        if rank == 1:
            signal.signal(signal.SIGTERM, end)
            wait()
        open(os.environ["FAIL"]).read()
        sys.exit(6)
    """)
    for name in ("GO", "FAIL"):
        os.mkfifo(crew.folder / name)
        crew.env(**{name: str(crew.folder / name)})
    crew.start()
    crew.until("waiting in generation 1")
    (crew.folder / "FAIL").write_text("now")
    crew.until("saving", worker=1)
    assert crew.launchers[0].popen.poll() is None
    (crew.folder / "GO").write_text("now")
    assert crew.wait() == [6, 6]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_being_told_to_stop_is_passed_on_once_and_ends_with_143(crew: Crew, signum: int) -> None:
    crew.of(1, 2).script("""
        def end(number, frame):
            say(f"got {signal.Signals(number).name}")
            sys.exit(0)
        for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, end)
        wait()
    """).start()
    crew.until("waiting in generation 1", times=2)
    os.kill(crew.launchers[0].pid, signum)
    assert crew.wait() == [143]
    assert crew.output.count(f"got {signal.Signals(signum).name}") == 2
    told = crew.launchers[0].termination()
    assert (told["outcome"], told["exitCode"]) == ("Terminated", 143)
    assert "cause" not in told


def test_a_checkpoint_on_sigterm_gets_all_the_time_the_pod_has(crew: Crew) -> None:
    crew.of(1).env(REGATTA_KILL_GRACE="0", GO=str(crew.folder / "go")).script("""
        def save(*_):
            say("saving")
            open(os.environ["GO"]).read()
            say("saved")
            sys.exit(0)
        signal.signal(signal.SIGTERM, save)
        wait()
    """)
    os.mkfifo(crew.folder / "go")
    crew.start()
    crew.until("waiting in generation 1")
    os.kill(crew.launchers[0].pid, signal.SIGTERM)
    crew.until("saving")
    (crew.folder / "go").write_text("go")
    assert crew.wait() == [143]
    assert "[0] saved" in crew.output


def test_a_stated_grace_is_kept(crew: Crew) -> None:
    crew.of(1).script("signal.signal(signal.SIGTERM, signal.SIG_IGN); wait()").env(REGATTA_GRACE="0.1").start()
    crew.until("waiting in generation 1")
    os.kill(crew.launchers[0].pid, signal.SIGTERM)
    assert crew.wait() == [143]


@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_one_worker_told_to_stop_ends_the_others_at_once_and_costs_no_restart(crew: Crew, stopped: int) -> None:
    crew.of(3).script(WAIT).start()
    crew.until("waiting in generation 1", times=3)
    os.kill(crew.launchers[stopped].pid, signal.SIGTERM)
    codes = crew.wait()
    assert codes == [143 if worker == stopped else 72 for worker in range(3)]
    for worker in {0, 1, 2} - {stopped}:
        told = crew.launchers[worker].termination()
        assert (told["cause"], told["worker"], told["restarts"]) == ("WorkerLost", stopped, 0)
        assert told["message"] == f"worker {stopped} was told to stop"


def test_being_told_to_stop_while_waiting_for_others_ends_at_once(crew: Crew) -> None:
    crew.of(2).script(WAIT)
    for worker, variables in ((0, {}), (1, {"REGATTA_COORDINATOR": "127.0.0.1:1"})):
        launcher = crew.launch(worker, **variables)
        crew.until_page("/started", "waiting for worker", worker=worker)
        os.kill(launcher.pid, signal.SIGTERM)
        assert launcher.wait() == 143


def test_other_signals_reach_the_processes_but_not_their_children(crew: Crew) -> None:
    crew.of(1).script("""
        if os.fork() == 0:
            say("child")
            signal.pause()
        signal.signal(signal.SIGUSR1, lambda *_: say("got SIGUSR1"))
        wait()
        signal.pause()
    """).start()
    crew.until("waiting in generation 1")
    crew.until("child")
    os.kill(crew.launchers[0].pid, signal.SIGUSR1)
    crew.until("got SIGUSR1")
    assert len(crew.processes()) == 2


@pytest.mark.parametrize(
    ("command", "exit_code", "cause", "words"),
    [
        (["no-such-program"], 127, "CommandNotFound", "command not found: no-such-program is not on PATH"),
        (["/no/such/file"], 127, "CommandNotFound", "command not found: no such file: /no/such/file"),
        (["/proc/self/maps"], 126, "CommandNotExecutable", "/proc/self/maps is not executable"),
        (["/"], 126, "CommandNotExecutable", "/ is not executable"),
    ],
    ids=["not on PATH", "no file", "no permission", "folder"],
)
def test_a_command_that_cannot_be_run_fails_the_crew_at_once_without_restarts(
    crew: Crew, command: list[str], exit_code: int, cause: str, words: str
) -> None:
    crew.of(2).command(*command).start()
    assert crew.wait() == [exit_code] * 2
    for launcher in crew.launchers.values():
        told = launcher.termination()
        assert (told["cause"], told["restarts"]) == (cause, 0)
        assert told["message"].startswith(words)


@pytest.mark.parametrize(
    ("first_line", "exit_code", "words"),
    [
        (b"#!/no/such/interpreter\n", 127, "exists, but not the interpreter that its first line names"),
        (b"\x00\x01\x02\x03 not a program", 126, "is not a program this machine can run"),
    ],
    ids=["interpreter", "format"],
)
def test_a_file_that_is_no_program_here_is_explained(
    crew: Crew, tmp_path: Path, first_line: bytes, exit_code: int, words: str
) -> None:
    program = tmp_path / "program"
    program.write_bytes(first_line)
    program.chmod(0o755)
    crew.of(1).command(str(program)).start()
    assert crew.wait() == [exit_code]
    assert words in crew.launchers[0].termination()["message"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"REGATTA_WORKERS": "none"}, "REGATTA_WORKERS='none': must be a whole number from 1 to 100000"),
        (
            {"REGATTA_FRAMEWORK": "Caffe"},
            "this runtime knows Custom, Horovod, Keras, PyTorch, TensorFlow",
        ),
        ({"REGATTA_TOKEN": ""}, "REGATTA_TOKEN is not set"),
    ],
    ids=["number", "framework", "missing"],
)
def test_a_wrong_environment_ends_with_64_and_says_which_variable(
    crew: Crew, variables: dict[str, str], words: str
) -> None:
    launcher = crew.of(1).script(WAIT).launch(0, **variables)
    assert launcher.wait() == 64
    assert words in launcher.output
    told = launcher.termination()
    assert (told["outcome"], told["cause"]) == ("Failed", "ConfigError")
    assert words in told["message"]


def test_no_command_ends_with_64(crew: Crew) -> None:
    launcher = crew.of(1).command().launch(0)
    assert launcher.wait() == 64
    assert "no command given" in launcher.output


def test_without_a_termination_log_everything_else_works(crew: Crew) -> None:
    crew.of(1).script("say('hello')").env(REGATTA_TERMINATION_LOG="/no/such/folder/log").start()
    assert crew.wait() == [0]
    assert not Path("/no/such/folder").exists()


def test_orphans_are_reaped_and_no_exit_code_is_mixed_up(crew: Crew) -> None:
    crew.of(1, 4).script("""
        for _ in range(20):
            if os.fork() == 0:
                if os.fork() == 0: os._exit(7)
                os._exit(8)
        for _ in range(20): os.wait()
        sys.exit(0)
    """).start()
    assert crew.wait() == [0]


def test_a_signal_that_comes_while_the_launcher_is_still_loading_is_not_lost(crew: Crew) -> None:
    # As process 1 of a container it would be: the kernel drops for it what has no handler yet.
    crew.of(2).script(WAIT)
    crew.entry = ["-c", SIGNALLED_AT_ONCE]
    launcher = crew.launch(1, REGATTA_COORDINATOR="127.0.0.1:1")
    assert launcher.wait() == 143
    assert launcher.termination()["outcome"] == "Terminated"
