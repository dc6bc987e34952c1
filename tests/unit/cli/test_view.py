"""What `get`, `status` and `watch` show, from JSON as the API server gives it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from regatta.api.status import Progress, TrainingJobStatus
from regatta.cli.cluster import Change
from regatta.cli.rows import job_table
from regatta.cli.view import Style, job_lines, progress_line
from regatta.cli.watch import change_line, follow, live_line
from tests.unit.cli.builders import job, pod

NOW = datetime(2026, 1, 2, 12, 10, 0, tzinfo=UTC)
PLAIN = Style(width=80, ascii_only=True)
RUNNING: dict[str, Any] = {
    "phase": "Running",
    "reason": "Training",
    "message": "4 processes train on 2 workers",
    "attempt": 2,
    "restartsUsed": 1,
    "workers": {"desired": 2, "created": 2, "ready": 2},
    "startTime": "2026-01-02T12:00:00Z",
    "runningSince": "2026-01-02T12:05:00Z",
    "progress": {"step": 530, "totalSteps": 1000, "fraction": 0.53, "etaSeconds": 125},
    "efficiency": {"goodput": 0.912},
    "failures": [
        {
            "attempt": 1,
            "cause": "UserError",
            "pod": "digits-1-0",
            "node": "node1",
            "exitCode": 1,
            "message": "rank 0 ended with exit code 1: " + "word " * 30,
            "at": "2026-01-02T12:04:00Z",
            "action": "RestartedInPlace",
            "lostSeconds": 3,
        }
    ],
    "failureCounts": {"UserError": 1},
}


def view(status: dict[str, Any], pods: list[dict[str, Any]] | None = None, **options: Any) -> list[str]:
    return list(job_lines(job(**status), pods or [], now=NOW, style=PLAIN, **options))


def test_the_table_has_the_columns_of_kubectl() -> None:
    lines = job_table([job("b", **RUNNING), job("a")], namespaces=False, now=NOW)

    assert lines[0].split() == ["NAME", "PHASE", "REASON", "WORKERS", "ATTEMPT", "PROGRESS", "GOODPUT", "AGE"]
    assert lines[1].split() == ["a", "10m"]
    assert lines[2].split() == ["b", "Running", "Training", "2/2", "2", "53%", "0.91", "10m"]


def test_the_table_of_all_namespaces_begins_with_them() -> None:
    lines = job_table([job("a", namespace="z"), job("b", namespace="y")], namespaces=True, now=NOW)

    assert [line.split()[:2] for line in lines] == [["NAMESPACE", "NAME"], ["y", "b"], ["z", "a"]]


def test_a_running_job_is_told_in_full() -> None:
    text = "\n".join(view(RUNNING, [pod(0, attempt=2), pod(1, attempt=2, node="node2"), pod(0, attempt=1)]))

    for words in (
        "ml/digits",
        "Running (Training)",
        "4 processes train on 2 workers",
        "2, 1 of 3 restarts used",
        "2 of 2 training",
        "53%  step 530/1000  2m5s left",
        "goodput 0.912",
        "started 10m ago, running for 5m",
        "digits-2-1   node2",
        "Failures (UserError 1)",
        "rank 0 ended with exit code 1",
    ):
        assert words in text, text
    assert "digits-1-0   node1   Running" not in text


@pytest.mark.parametrize("status", [{}, RUNNING, {"phase": "Failed", "message": "a very long word " * 40}], ids=str)
def test_eighty_columns_are_enough(status: dict[str, Any]) -> None:
    assert max(map(len, view(status, [pod(0, attempt=2)]))) <= 80


def test_workers_that_have_not_joined_come_first() -> None:
    pods = [pod(0), pod(1), pod(2, ready=False, phase="Pending", waiting="ImagePullBackOff")]
    rows = [line.split() for line in view({"phase": "Starting", "attempt": 1}, pods) if "digits-1-" in line]

    assert rows[0] == ["2", "digits-1-2", "node1", "ImagePullBackOff", "no"]
    assert [row[0] for row in rows] == ["2", "0", "1"]


def test_a_large_crew_is_cut_unless_asked() -> None:
    pods = [pod(worker) for worker in range(100)]

    assert "... and 80 more; --all shows them" in view({"phase": "Running", "attempt": 1}, pods)
    assert len(view({"phase": "Running", "attempt": 1}, pods, everything=True)) > 100


def test_a_job_that_nobody_looks_at_says_where_to_look() -> None:
    assert "regatta version" in " ".join(view({}))


def test_a_pause_says_when_it_ends() -> None:
    lines = view({"phase": "Restarting", "attempt": 2, "nextTryTime": "2026-01-02T12:10:12Z"})

    assert any("in 12s" in line for line in lines)


def test_text_from_the_cluster_does_not_reach_the_terminal_as_it_is() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[bold]x"
    status = {
        **RUNNING,
        "reason": evil,
        "message": evil,
        "efficiency": {evil: 1.0},
        "failureCounts": {evil: 1},
        "failures": [{**RUNNING["failures"][0], "message": evil, "pod": evil, "node": evil}],
    }
    lines = view(status, [pod(0, attempt=2, node=evil, waiting=evil)])
    lines += job_table([job(evil, namespace=evil, **status)], namespaces=True, now=NOW)
    lines.append(change_line(TrainingJobStatus.from_api(status), with_progress=True))

    assert all(line.isprintable() for line in lines)
    assert any("[bold]x" in line for line in lines)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(step=7), "step 7"),
        (Progress(step=7, epoch=1.5), "step 7  epoch 1.5"),
        (Progress(fraction=0.5), "############------------ 50%"),
        (Progress(fraction=1.0, eta_seconds=0), "######################## 100%  0s left"),
    ],
    ids=str,
)
def test_progress_shows_what_is_known(progress: Progress, line: str) -> None:
    assert progress_line(progress, style=PLAIN) == line


def states(*statuses: dict[str, Any], deleted: bool = False) -> Iterator[Change]:
    for status in statuses:
        yield Change(job(**status))
    if deleted:
        yield Change(job(**statuses[-1]), deleted=True)
    raise AssertionError("watched on after the end")


def followed(changes: Iterator[Change]) -> tuple[bool, list[str]]:
    output = StringIO()
    console = Console(file=output, width=80, highlight=False, markup=False)
    succeeded = follow(changes, console=console, style=PLAIN)
    return succeeded, output.getvalue().splitlines()


SUCCEEDED = {"phase": "Succeeded", "attempt": 2, "reason": "Completed", "message": "all workers ended with 0"}


def test_a_watch_ends_with_the_job_and_says_how() -> None:
    assert followed(states(RUNNING, SUCCEEDED))[0] is True
    assert followed(states(RUNNING, {**SUCCEEDED, "phase": "Failed"}))[0] is False
    assert followed(states(RUNNING, deleted=True))[0] is False


def test_a_watch_without_terminal_prints_a_line_for_each_change_and_none_twice() -> None:
    later = {**RUNNING, "progress": {"step": 531, "totalSteps": 1000, "fraction": 0.531}}
    further = {**RUNNING, "progress": {"step": 600, "totalSteps": 1000, "fraction": 0.6}}

    _, lines = followed(states({}, RUNNING, later, further, SUCCEEDED))

    said = [line[10:] for line in lines]
    assert len(said) == 4, lines
    assert said[0] == "waits for the operator"
    assert said[1] == f"Running     attempt 2  2/2 joined  53%  Training: {RUNNING['message']}"
    assert "60%" in said[2]
    assert said[3].startswith("Succeeded")


def test_the_moving_line_counts_down_a_pause_and_up_a_wait() -> None:
    def line(**status: Any) -> str:
        return live_line(TrainingJobStatus.from_api(status), now=NOW, style=PLAIN).plain

    assert line(phase="Restarting", nextTryTime="2026-01-02T12:10:30Z") == "next try in 30s"
    assert line(phase="Queued", startTime="2026-01-02T12:09:00Z") == "Queued for 1m"
    assert line(**RUNNING).endswith("2m5s left")
    assert line() == ""


def test_a_failure_says_what_was_done_about_it_and_what_it_cost() -> None:
    text = " ".join(line.strip() for line in view(RUNNING, []))

    assert "restarted in place, 3s lost" in text
