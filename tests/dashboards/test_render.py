"""Every dashboard can be drawn, dark and light, with the components that Grafana draws with."""

import copy
import json
import struct
from pathlib import Path
from typing import Final

import pytest

from tests.dashboards.browser import Browser
from tests.dashboards.grafana import NAMES, Span
from tests.dashboards.render import Drawing, draw, main, moment, prepare
from tests.dashboards.story import END, RESNET, START

SPAN: Final = Span(start=START, end=END - 120)
CHOSEN: Final = {"namespace": RESNET.namespace, "trainingjob": RESNET.name}


def drawing(prometheus: str, name: str) -> Drawing:
    return prepare(prometheus, name, given=CHOSEN if name == "job" else {}, span=SPAN)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_drawn_without_an_error(prometheus: str, chromium: Browser, name: str, theme: str) -> None:
    picture = draw(drawing(prometheus, name), theme=theme, opened=chromium)

    width, height = struct.unpack(">II", picture[16:24])
    assert width == 1600
    assert height > 1000
    assert 40_000 < len(picture) < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_is_without_data(prometheus: str, name: str) -> None:
    assert drawing(prometheus, name).empty == []


def test_what_is_drawn_is_what_prometheus_said(prometheus: str, chromium: Browser) -> None:
    draw(drawing(prometheus, "job"), theme="dark", opened=chromium)

    shown = chromium.evaluate("document.body.innerText")

    for word in ("Running", "resnet50", "checkpoint_restore", "rank 5"):
        assert word in shown


def test_a_panel_that_cannot_be_drawn_is_an_error_that_names_it(prometheus: str, chromium: Browser) -> None:
    good = drawing(prometheus, "operator")
    board = copy.deepcopy(good.board)
    board["panels"][0] |= {"type": "piechart", "title": "Spoiled"}

    with pytest.raises(AssertionError, match=r"Spoiled: .*piechart"):
        draw(Drawing(board=board, told=good.told, chosen=good.chosen, span=good.span), theme="dark", opened=chromium)


def test_a_label_cannot_break_out_of_the_page(prometheus: str, tmp_path: Path) -> None:
    good = drawing(prometheus, "operator")
    told = json.loads(json.dumps(good.told).replace("10.0.0.5:8080", "</script><script>alert(1)"))

    page = Drawing(board=good.board, told=told, chosen=good.chosen, span=good.span).page(tmp_path, theme="dark")

    assert "</script><script>alert" not in page.read_text()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("now", 1000), ("now-15m", 100), ("now-1h", -2600), ("77", 77), ("1970-01-01T00:01:00Z", 60)],
)
def test_times_are_written_as_in_grafana(text: str, seconds: int) -> None:
    assert moment(text, now=1000) == seconds


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "yesterday"), "yesterday: not a time"),
        (("--from", "now", "--to", "now-1h"), "--from must be before --to"),
        (("--var", "trainingjob"), "write NAME=VALUE"),
    ],
    ids=["no time", "the wrong way round", "no value"],
)
def test_wrong_options_are_refused_with_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert main(["--prometheus", "http://127.0.0.1:1", "--out", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err


def test_a_prometheus_that_does_not_answer_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--prometheus", "http://127.0.0.1:1", "--out", str(tmp_path)]) == 1
    assert "refused" in capsys.readouterr().err
