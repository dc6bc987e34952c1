"""Logs of many workers as one stream: prefixes, order, reconnects, attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from regatta.cli.cluster import Change
from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.logs import LogPrinter, follow_logs, latest_workers, print_logs
from regatta.cli.logstream import legible, stream, worker_of
from tests.unit.cli.builders import job, pod


def stamp(second: int) -> str:
    return f"2026-01-02T12:00:{second:02}.000000001Z"


def lines(*texts: str, start: int = 0) -> list[bytes]:
    return [f"{stamp(start + index)} {text}".encode() for index, text in enumerate(texts)]


class Logs:
    """What each pod's log holds; each request for a pod takes the next answer of it."""

    def __init__(self, **answers: list[list[bytes] | Exception]) -> None:
        self.answers = {name.replace("_", "-"): list(given) for name, given in answers.items()}
        self.queries: list[Mapping[str, str]] = []

    def log(self, pod: str, *, query: Mapping[str, str], read_seconds: float) -> Iterator[bytes]:
        assert read_seconds > 0
        self.queries.append(query)
        answer = self.answers[pod].pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield from answer


def printer(*, width: int = 1) -> tuple[LogPrinter, Callable[[], list[str]]]:
    output = StringIO()
    console = Console(file=output, width=80, highlight=False, markup=False)
    return LogPrinter(console, width=width), lambda: output.getvalue().splitlines()


def test_lines_of_a_crew_are_printed_in_the_order_of_time_under_their_worker() -> None:
    source = Logs(digits_1_0=[lines("[0] a", "[0] c", start=1)], digits_1_1=[lines("[2] b", start=2)])
    print_to, printed = printer(width=2)

    print_logs(source, latest_workers([pod(0), pod(1)], index=None), tail=5, printer=print_to)

    assert sorted(printed()) == [" 0| [0] a", " 0| [0] c", " 1| [2] b"]
    assert printed()[0] == " 0| [0] a"
    assert all(query["tailLines"] == "5" for query in source.queries)


def test_a_node_that_does_not_answer_does_not_hide_the_others() -> None:
    source = Logs(digits_1_0=[ClusterError("node1 is gone")], digits_1_1=[lines("[1] here")])
    print_to, printed = printer()

    print_logs(source, latest_workers([pod(0), pod(1)], index=None), tail=None, printer=print_to)

    assert set(printed()) == {"worker 0: node1 is gone", "1| [1] here"}


def test_the_newest_attempt_speaks() -> None:
    pods = [pod(0, attempt=9), pod(0, attempt=10), pod(1, attempt=10)]

    assert [worker.pod for worker in latest_workers(pods, index=None)] == ["digits-10-0", "digits-10-1"]
    assert [worker.pod for worker in latest_workers(pods, index=1)] == ["digits-10-1"]
    assert latest_workers([], index=None) == []


def test_a_pod_that_has_not_run_is_not_asked() -> None:
    print_to, printed = printer()

    print_logs(Logs(), [worker_of(pod(0, waiting="ContainerCreating"))], tail=None, printer=print_to)

    assert printed() == []


def test_a_broken_connection_goes_on_where_it_was() -> None:
    source = Logs(
        digits_1_0=[
            lines("a", "b"),
            ClusterError("lost"),
            lines("a", "b", "c"),
            [],
        ]
    )
    pauses: list[float] = []
    worker = worker_of(pod(0))
    answers = iter([False, False, False, True])

    read = [
        line.text
        for line in stream(source, worker, follow=True, has_ended=lambda _: next(answers), pause=pauses.append)
    ]

    assert read == ["a", "b", "c"]
    assert "sinceTime" not in source.queries[0]
    assert [query["sinceTime"] for query in source.queries[1:]] == [stamp(1), stamp(1), stamp(2)]
    assert len(pauses) == 3


def test_lines_of_the_same_moment_are_all_printed() -> None:
    twins = [f"{stamp(1)} a".encode(), f"{stamp(1)} b".encode()]

    assert [line.text for line in stream(Logs(digits_1_0=[twins]), worker_of(pod(0)), follow=False)] == ["a", "b"]


def test_a_pod_that_is_gone_has_said_all() -> None:
    source = Logs(digits_1_0=[NotFoundError("gone")])

    assert list(stream(source, worker_of(pod(0)), follow=True)) == []


def test_a_log_that_cannot_be_had_is_given_up() -> None:
    source = Logs(digits_1_0=[ClusterError("no")] * 40)

    with pytest.raises(ClusterError):
        list(stream(source, worker_of(pod(0)), follow=True, pause=lambda _: None))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("[0] loss 0.5", "[0] loss 0.5"),
        ("\x1b[32mgreen\x1b[0m", "green"),
        (" 10%|█\r 50%|█████\r100%|██████████", "100%|██████████"),
        ("done\r", "done"),
        ("\r", ""),
        ("", ""),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
    ],
    ids=ascii,
)
def test_a_line_is_legible_and_harmless(raw: str, shown: str) -> None:
    assert legible(raw) == shown


class Story(Logs):
    """A job whose pods come and go while its logs are followed."""

    def __init__(self, pod_changes: list[Change], job_changes: list[Change], **answers: Any) -> None:
        super().__init__(**answers)
        self._pod_changes, self._job_changes = pod_changes, job_changes

    def watch_pods(self, job: str) -> Iterator[Change]:
        assert job == "digits"
        yield from self._pod_changes

    def watch_job(self, name: str) -> Iterator[Change]:
        assert name == "digits"
        yield from self._job_changes

    def pods(self, job: str) -> list[dict[str, Any]]:
        return [dict(change.object) for change in self._pod_changes if not change.deleted]


ENDED = [Change(job(phase="Running")), Change(job(phase="Succeeded"))]


def test_following_goes_through_all_attempts_and_ends_with_the_job() -> None:
    story = Story(
        [Change(pod(0, attempt=1, state="terminated")), Change(pod(0, attempt=2, state="terminated"))],
        ENDED,
        digits_1_0=[lines("first")],
        digits_2_0=[lines("second", start=10)],
    )
    print_to, printed = printer()

    follow_logs(story, "digits", index=None, tail=None, printer=print_to)

    assert sorted(printed()) == ["--- attempt 2 ---", "0| first", "0| second"]


def test_only_the_worker_asked_for_is_followed() -> None:
    story = Story(
        [Change(pod(0, state="terminated")), Change(pod(1, state="terminated"))], ENDED, digits_1_1=[lines("one")]
    )
    print_to, printed = printer()

    follow_logs(story, "digits", index=1, tail=None, printer=print_to)

    assert printed() == ["1| one"]


def test_a_cluster_that_forbids_the_watch_ends_the_following() -> None:
    class Forbidden(Story):
        def watch_job(self, name: str) -> Iterator[Change]:
            raise ClusterError("not allowed")

    print_to, _ = printer()

    with pytest.raises(ClusterError, match="not allowed"):
        follow_logs(Forbidden([], []), "digits", index=None, tail=None, printer=print_to)
