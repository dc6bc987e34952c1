"""`regatta report`: what the page says, that nothing in it can do harm, and what wrong calls are told."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.report.charts import number, svg_chart
from regatta.cli.report.from_status import story_of
from regatta.cli.report.made import made_story, past
from regatta.cli.report.page import page
from regatta.cli.report.prometheus import Prometheus, PrometheusError, quoted
from regatta.cli.report.story import Chart, Curve
from regatta.errors import UsageError
from tests.unit.cli.builders import job
from tests.unit.cli.test_view import RUNNING

NOW = datetime(2026, 1, 2, 12, 10, 0, tzinfo=UTC)
LEDGER = {"queued": 60, "step": 300, "data_wait": 100, "rework": 40}
WICKED = "<script>alert(1)</script>\" onload='x' \x1b[2J\u202e"


def report(**status: Any) -> str:
    return page(story_of(job(spec={"workers": 2, "gpusPerWorker": 4}, **status), now=NOW))


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)).split())


class Balance(HTMLParser):
    """Complains about a tag that is never closed, or closed by another."""

    VOID = frozenset({"meta", "link", "rect", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that always answers the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class NoCluster:
    """A cluster that has no such job."""

    namespace = "ml"

    def time(self) -> datetime:
        return NOW

    def job(self, name: str) -> Any:
        raise NotFoundError(f"there is no TrainingJob {name} in namespace ml")


def test_the_page_tells_the_ledger_the_numbers_and_the_failures() -> None:
    told = words(report(**{**RUNNING, "ledger": LEDGER, "efficiency": {"goodput": 0.681, "stepSeconds": 0.215}}))

    for expected in (
        "Training job in namespace ml digits",
        "Running (Training)",
        "2 workers, each with 4 nvidia.com/gpu",
        "68.1 % Goodput",
        "215 ms Time of a step",
        "step 5m 60.0% training steps that were new",
        "rework 40s 8.0% steps done again after a restart",
        "In all: UserError 1.",
        "digits-1-0 on node1",
        "restarted in place, 3s lost",
        "from the job's status.",
    ):
        assert expected in told


def test_the_bar_is_as_long_as_the_ledger() -> None:
    widths = re.findall(r'<rect [^>]*width="([0-9.]+)" height="44"', report(ledger=LEDGER))

    assert sum(map(float, widths)) == pytest.approx(960, abs=0.1)
    assert len(widths) == 4


def test_goodput_is_counted_from_the_ledger_where_the_status_does_not_say_it() -> None:
    assert "68.2 % Goodput" in words(report(ledger=LEDGER))


def test_waste_is_what_was_held_and_did_not_train() -> None:
    assert "0.311 GPU-hours held, not training" in words(report(ledger=LEDGER))


@pytest.mark.parametrize(
    "status", [{}, {"phase": "Queued"}, {"ledger": "much"}, {"ledger": {"step": -1}}, {"phase": "Sailing"}], ids=repr
)
def test_a_job_of_which_little_is_known_gets_a_page_that_says_so(status: dict[str, Any]) -> None:
    told = words(report(**status))

    assert "The ledger is empty" in told
    assert "Failures and restarts None." in told
    assert "Goodput" not in told


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Failed", "reason": WICKED, "message": WICKED},
        {"phase": "Failed", "ledger": {WICKED: 5.0, "step": 1.0}},
        {"phase": "Failed", "failureCounts": {WICKED: 1}},
        {
            "phase": "Failed",
            "failures": [
                {
                    "attempt": 1,
                    "cause": "UserError",
                    "pod": WICKED,
                    "node": WICKED,
                    "message": WICKED,
                    "at": "2026-01-02T12:04:00Z",
                }
            ],
        },
    ],
    ids=["words", "a state", "a cause", "a failure"],
)
def test_nothing_from_a_cluster_becomes_markup_or_moves_the_cursor(status: dict[str, Any]) -> None:
    html = report(**status)

    assert "<script" not in html
    assert "alert(1)" in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert not re.search(r"<[^>]*\sonload", html)
    Balance().feed(html)


def test_the_names_of_a_job_are_escaped_too() -> None:
    made = job(WICKED, namespace=WICKED, spec={"framework": WICKED, "gpusPerWorker": 1, "gpuResource": WICKED})

    html = page(story_of(made, now=NOW))

    assert "<script" not in html
    Balance().feed(html)


def test_the_page_needs_nothing_from_elsewhere_and_allows_no_script() -> None:
    html = report(**RUNNING, ledger=LEDGER)

    assert "default-src 'none'" in html
    for reference in ("http:", "https:", "//", "url(", "src=", "href=", "<script", "@import", "<link"):
        assert reference not in html


def test_the_page_is_well_formed() -> None:
    balance = Balance()
    balance.feed(report(**RUNNING, ledger=LEDGER))

    assert balance.open == []


def test_a_curve_is_broken_where_nothing_was_told() -> None:
    points = tuple((float(at), 1.0) for at in (*range(0, 100, 10), *range(500, 600, 10)))
    chart = Chart(title="t", words="w", unit="", curves=(Curve(name="c", points=points),), step=10)

    path = re.search(r'<path class="line[^>]* d="([^"]*)"', svg_chart(chart, start=0, end=600, marks=()))

    assert path is not None
    assert path[1].count("M") == 2


def test_a_stack_fills_the_whole_height() -> None:
    curves = (Curve(name="step", points=((0, 0.6), (10, 0.6))), Curve(name="idle", points=((0, 0.4), (10, 0.4))))
    chart = Chart(title="t", words="w", unit="%", curves=curves, step=10, stacked=True)

    drawn = svg_chart(chart, start=0, end=10, marks=())

    assert re.findall(r"M\d+\.\d (\d+\.\d)", drawn) == ["72.4", "10.0"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.042, "%", "4.2 %"),
        (0.2154, "s", "215 ms"),
        (4.5, "s", "4.5 s"),
        (3700, "s", "1h1m"),
        (2380, "", "2.38 k"),
        (1.5e7, "", "15 M"),
        (0.0, "", "0"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


@pytest.mark.parametrize("url", ["localhost:9090", "file:///etc/passwd", "ftp://x", "http://", "", "javascript:x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="such as http://localhost:9090"):
        Prometheus(url)


def test_a_password_in_the_address_is_not_repeated() -> None:
    assert Prometheus("http://me:secret@prometheus:9090/").address == "http://prometheus:9090"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, json.dumps({"error": "parse error at char 4"}).encode(), "refused: parse error at char 4"),
        (503, b"<html>", "refused: Service Unavailable"),
        (200, b"<html>", "is no Prometheus"),
        (200, b'{"data": []}', "is no Prometheus"),
        (200, b'{"data": {"result": [{"metric": {}, "value": ["x", "y"]}]}}', "is no Prometheus"),
        (200, b'{"data": {"result": [7]}}', "is no Prometheus"),
    ],
    ids=["refusal", "gateway", "page", "list", "words", "number"],
)
def test_a_server_that_answers_otherwise_is_told(status: int, body: bytes, told: str) -> None:
    with answering(status, body) as url, pytest.raises(PrometheusError, match=re.escape(told)):
        Prometheus(url).at("up", time=0)


def test_a_server_that_is_not_there_is_told_with_what_may_help() -> None:
    with pytest.raises(PrometheusError, match=r"does not answer: .*kubectl port-forward"):
        Prometheus("http://127.0.0.1:1").at("up", time=0)


def test_a_value_that_is_no_number_is_left_out() -> None:
    body = b'{"data": {"result": [{"metric": {}, "value": [1, "NaN"]}, {"metric": {"a": "b"}, "value": [1, "2"]}]}}'

    with answering(200, body) as url:
        assert Prometheus(url).at("up", time=0) == [({"a": "b"}, 2.0)]


def test_a_label_cannot_leave_its_string() -> None:
    assert quoted('a"} or up{x="\n\\') == '"a\\"} or up{x=\\"\\n\\\\"'


@pytest.mark.parametrize("name", ["", "Mine", "a b", "-a", 'a"}', "../x", "a" * 300], ids=repr)
def test_a_name_that_is_none_is_refused_before_anybody_is_asked(name: str) -> None:
    def nobody() -> Any:
        raise AssertionError("asked")

    with pytest.raises(UsageError, match="no name of a job"):
        made_story(name, open_cluster=nobody, namespace=None, prometheus=None, since=timedelta(hours=1))


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "0m", "1w", "1h30m", "999999d", "٣h"], ids=repr)
def test_a_span_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="90m, 24h or 7d"):
        past(text)


def test_spans_are_minutes_hours_and_days() -> None:
    assert (past("90m"), past("24h"), past("7d")) == (timedelta(minutes=90), timedelta(days=1), timedelta(days=7))


def test_without_prometheus_a_job_that_is_gone_is_an_error_that_says_who_may_know() -> None:
    with pytest.raises(
        NotFoundError, match="no TrainingJob old in namespace ml; --prometheus URL tells of jobs that are"
    ):
        made_story(
            "old",
            open_cluster=lambda: NoCluster(),
            namespace=None,
            prometheus=None,
            since=timedelta(hours=1),  # type: ignore[arg-type, return-value]
        )


def unreachable() -> Any:
    raise ClusterError("the cluster does not answer")


@pytest.mark.parametrize(
    ("cluster", "place"), [(NoCluster, "ml"), (unreachable, "default")], ids=["no job", "no cluster"]
)
def test_a_job_that_nobody_knows_is_told_with_where_it_was_looked_for(cluster: Callable[[], Any], place: str) -> None:
    with answering(200, b'{"data": {"result": []}}') as url, pytest.raises(PrometheusError) as told:
        made_story("old", open_cluster=cluster, namespace=None, prometheus=Prometheus(url), since=timedelta(hours=24))

    assert f"knows no job old in namespace {place} in the last 1d; look further back with --since" in str(told.value)
