"""`regatta top`: which jobs it shows, in which order, and what it says of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from regatta.cli.errors import ClusterError
from regatta.cli.spending import Order, spending
from regatta.cli.top import keep_showing, top_lines
from tests.unit.cli.builders import job

HOUR = 3600.0


def training(name: str, *, gpus: int = 0, goodput: float | None = None, **more: Any) -> dict[str, Any]:
    efficiency = {} if goodput is None else {"goodput": goodput}
    status: dict[str, Any] = {"phase": "Running", "efficiency": efficiency, **more}
    made: dict[str, Any] = job(name, spec={"workers": 2, "gpusPerWorker": gpus}, **status)
    return made


def show(*jobs: dict[str, Any], **options: Any) -> list[str]:
    defaults: dict[str, Any] = {"namespaces": False, "order": Order.GOODPUT, "ended": False, "width": 80}
    return top_lines(jobs, **{**defaults, **options})


def names(lines: list[str]) -> list[str]:
    table = lines[lines.index("") + 2 :]
    return [line.split()[0] for line in table]


def test_the_worst_goodput_comes_first_and_what_is_not_measured_last() -> None:
    assert names(show(training("good", goodput=0.9), training("new"), training("bad", goodput=0.2))) == [
        "bad",
        "good",
        "new",
    ]


@pytest.mark.parametrize(
    ("order", "first"),
    [(Order.GOODPUT, "restarts"), (Order.DATA, "starved"), (Order.GPU, "idle"), (Order.WASTE, "large")],
)
def test_each_order_puts_its_own_worst_first(order: Order, first: str) -> None:
    jobs = [
        training("restarts", goodput=0.1, ledger={"step": 60, "rework": 540}),
        training("starved", efficiency={"goodput": 0.6, "dataStallFraction": 0.4}),
        training("idle", efficiency={"goodput": 0.7, "gpuUtilization": 0.05, "dataStallFraction": 0.01}),
        training("large", gpus=8, goodput=0.9, ledger={"step": 9 * HOUR, "init": HOUR}),
    ]

    assert names(show(*jobs, order=order))[0] == first


def test_waste_is_what_was_held_and_did_not_train() -> None:
    ledger = {
        "queued": 5 * HOUR,
        "restart_backoff": HOUR,
        "gang_wait": 0.5 * HOUR,
        "step": 2 * HOUR,
        "idle": 0.5 * HOUR,
    }

    (line,) = show(training("mine", gpus=4, goodput=0.66, ledger=ledger))[-1:]

    assert line.split() == ["mine", "Running", "8", "66.0%", "-", "-", "8.0", "GPU-h"]


def test_what_a_job_asks_for_is_shown_before_anything_is_booked() -> None:
    (line,) = show(training("new", gpus=4, phase="Queued"))[-1:]

    assert line.split() == ["new", "Queued", "8", "-", "-", "-", "-"]


def test_a_job_without_accelerators_wastes_its_workers() -> None:
    spent = spending(training("mine", ledger={"step": HOUR, "data_wait": HOUR}))

    assert spent is not None
    assert (spent.waste_hours, spent.unit) == (2.0, "pod-h")


def test_the_summary_weighs_jobs_by_their_accelerators() -> None:
    lines = show(
        training("large", gpus=9, ledger={"step": HOUR}),
        training("small", gpus=1, ledger={"data_wait": HOUR}),
        training("cpu", ledger={"step": HOUR, "idle": HOUR}),
    )

    assert lines[:3] == [
        "Jobs:     3 Running",
        "GPUs:     trained 90% of the time held, wasted 2.0 GPU-h",
        "Others:   trained 50% of the time held, wasted 2.0 pod-h",
    ]


def test_jobs_that_ended_are_shown_when_asked_for_and_are_never_in_the_sum() -> None:
    done = training("done", gpus=8, phase="Succeeded", ledger={"idle": HOUR})

    assert show(done) == ["Jobs:     1 Succeeded", "", "nothing runs or waits; --all shows jobs that have ended"]
    assert names(show(done, ended=True)) == ["done"]


def test_no_line_is_wider_than_the_terminal_and_the_longest_names_give_way() -> None:
    long = training("n" * 63, gpus=8, goodput=0.5, ledger={"step": 1, "idle": 1e6})
    long["metadata"]["namespace"] = "s" * 63

    for width in (80, 100):
        lines = show(long, namespaces=True, width=width)
        assert max(map(len, lines)) <= width
        assert "50.0%" in lines[-1]
        assert "GPU-h" in lines[-1]


def test_a_small_terminal_shows_the_worst_and_says_how_many_more_there_are() -> None:
    lines = show(*(training(f"job-{n}", goodput=n / 10) for n in range(9)), height=8)

    assert len(lines) <= 8
    assert names(lines)[0] == "job-0"
    assert lines[-1] == "... and 5 more"


@pytest.mark.parametrize(
    "ledger",
    [None, [], "much", {"step": "60"}, {"step": float("nan")}, {"step": -5}, {"step": True}, {"step": float("inf")}],
    ids=repr,
)
def test_a_ledger_that_is_none_is_no_ledger(ledger: Any) -> None:
    assert spending({"spec": {"workers": 2}, "status": {"ledger": ledger}}) is None


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")], ids=repr)
def test_a_share_that_cannot_be_is_not_shown(value: float) -> None:
    (line,) = show(training("mine", efficiency={"goodput": value}))[-1:]

    assert "%" not in line


def test_names_cannot_move_the_cursor() -> None:
    (line,) = show(training("a\x1b[2Jb"))[-1:]

    assert "\x1b" not in line


def test_a_cluster_that_is_away_for_a_while_is_told_above_the_last_table() -> None:
    answers = iter(([training("mine")], ClusterError("the cluster does not answer"), [training("other")]))
    output = StringIO()

    def jobs() -> list[dict[str, Any]]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keep_showing(
        jobs,
        lambda found, width, height: show(*found, width=width, height=height),
        console=Console(file=output, force_terminal=True, width=80, height=24),
        seconds=5,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        sleep=lambda _: None,
        rounds=range(2),
    )

    screens = re.sub(r"\x1b\[[0-?]*[a-zA-Z]", "", output.getvalue())
    assert "every 5s, Ctrl-C ends" in screens
    assert "as it was before: the cluster does not answer" in screens
    assert screens.count("mine") == 2


def test_a_cluster_that_never_answered_is_an_error() -> None:
    def jobs() -> list[dict[str, Any]]:
        raise ClusterError("the cluster does not answer")

    with pytest.raises(ClusterError):
        keep_showing(
            jobs,
            lambda *_: [],
            console=Console(file=StringIO()),
            seconds=5,
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        )
