"""Components outlive the tool, are found again, and say why they failed. The processes here are real."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.processes import Component, Processes, naming, start_time
from tests.cluster.tool.shell import which

ENDLESS = ("tail", "-f", "/dev/null")


def session(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(records=tmp_path / "run", logs=tmp_path / "log")
    yield made
    made.stop(made.names(), patience=0)


def test_a_started_component_runs_in_a_session_of_its_own(running: Processes) -> None:
    component = Component("it", ENDLESS, ready=lambda: session(running.pid("it")) == running.pid("it"))
    running.start(component)

    running.wait(component)


def test_starting_what_runs_keeps_it(running: Processes) -> None:
    running.start(Component("it", ENDLESS))
    pid = running.pid("it")

    running.start(Component("it", ENDLESS))

    assert running.pid("it") == pid


def test_a_stopped_component_is_gone(running: Processes) -> None:
    running.start(Component("it", ENDLESS))

    running.stop(["it"])

    assert not running.alive("it")


def test_another_process_under_the_recorded_pid_is_not_ours(running: Processes, tmp_path: Path) -> None:
    running.start(Component("it", ENDLESS))
    pid = running.pid("it")
    assert pid is not None
    record = tmp_path / "run" / "it.json"
    true = record.read_text()
    record.write_text(json.dumps({"pid": pid, "started": (start_time(pid) or 0) - 1}))

    assert not running.alive("it")
    running.stop(["it"])
    assert start_time(pid) is not None
    record.write_text(true)


def test_a_component_that_ends_is_named_with_the_end_of_its_log(running: Processes) -> None:
    component = Component("it", ("sh", "-c", "echo the port is taken; exit 1"), ready=lambda: False)
    running.start(component)

    with pytest.raises(ToolError, match=r"(?s)^it ended.*the port is taken"):
        running.wait(component)


def test_a_component_that_is_never_ready_is_named(running: Processes) -> None:
    component = Component("it", ENDLESS, ready=lambda: False, patience=0)
    running.start(component)

    with pytest.raises(ToolError, match=r"^it was not ready after 0 s"):
        running.wait(component)


def test_the_log_of_the_last_run_is_kept(running: Processes, tmp_path: Path) -> None:
    for word in ("first", "second"):
        component = Component("it", ("sh", "-c", f"echo {word}"), ready=lambda: not running.alive("it"))
        running.start(component)
        running.wait(component)

    assert (tmp_path / "log" / "it.previous.log").read_text() == "first\n"
    assert (tmp_path / "log" / "it.log").read_text() == "second\n"


def test_only_programs_of_the_cluster_are_found_by_the_folder_that_they_name(tmp_path: Path) -> None:
    """An editor names it as well, and belongs to whoever works here; so does another node, with a longer name."""
    files = [tmp_path / node / "config" for node in ("node1", "node10")]
    for file in files:
        file.parent.mkdir()
        file.touch()
    for name in ("kubelet", "editor"):
        (tmp_path / name).symlink_to(which("tail"))
    wanted, *others = [
        subprocess.Popen([tmp_path / name, "-f", file]) for name in ("kubelet", "editor") for file in files
    ]
    try:
        found = naming(tmp_path / "node1")
    finally:
        for process in (wanted, *others):
            process.kill()
            process.wait()

    assert found == {wanted.pid}
