"""`python -m tests.dashboards.render --prometheus URL --out FOLDER`: the dashboards as pictures, dark and light."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import Paths
from tests.dashboards import npm
from tests.dashboards.browser import Browser, browser
from tests.dashboards.grafana import NAMES, Span, answers, choices, dashboard, expression, panels
from tests.dashboards.png import small

__all__ = ["Drawing", "draw", "main", "moment", "prepare"]

WIDTH: Final = 1600
THEMES: Final = ("dark", "light")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Drawing:
    """All that a picture of a dashboard shows."""

    def __init__(
        self, *, board: Mapping[str, Any], told: Mapping[str, Any], chosen: Mapping[str, str], span: Span
    ) -> None:
        self.board = board
        self.told = told
        self.chosen = chosen
        self.span = span

    @property
    def empty(self) -> list[str]:
        """Titles of panels to which Prometheus said nothing."""
        return [panel["title"] for panel in panels(self.board) if not any(self.told[str(panel["id"])].values())]

    def page(self, folder: Path, *, theme: str) -> Path:
        """Write the page that draws itself; what it shows is in it."""
        steps = {
            str(panel["id"]): {
                target["refId"]: expression(target, chosen=self.chosen, span=self.span, width=panel["gridPos"]["w"])[1]
                for target in panel["targets"]
            }
            for panel in panels(self.board)
        }
        shown = {
            "board": self.board,
            "answers": self.told,
            "steps": steps,
            "chosen": self.chosen,
            "span": {"start": self.span.start, "end": self.span.end},
            "theme": theme,
            "width": WIDTH,
        }
        # "</script>" in a label would end the script.
        text = json.dumps(shown).replace("<", "\\u003c")
        bundle = npm.bundle(Paths.default())
        page = folder / f"{theme}.html"
        page.write_text(
            '<!doctype html><meta charset="utf-8">'
            f'<link rel="stylesheet" href="{(bundle / "page.css").as_uri()}"><div id="root"></div>'
            f"<script>window.REGATTA = {text}</script>"
            f'<script src="{(bundle / "page.js").as_uri()}"></script>'
        )
        return page


def prepare(url: str, name: str, *, given: Mapping[str, str], span: Span) -> Drawing:
    """Ask Prometheus all that a dashboard asks; raises with the query where one fails."""
    board = dashboard(name)
    chosen = choices(url, board, given=given, span=span)
    told = {str(panel["id"]): answers(url, panel, chosen=chosen, span=span) for panel in panels(board)}
    return Drawing(board=board, told=told, chosen=chosen, span=span)


def draw(drawing: Drawing, *, theme: str, opened: Browser) -> bytes:
    """One picture, as PNG; raises where a panel could not be drawn."""
    with tempfile.TemporaryDirectory() as folder:
        opened.open(drawing.page(Path(folder), theme=theme), width=WIDTH, height=3200)
        done = opened.evaluate("window.drawn")
        if done["failures"]:
            raise AssertionError(f"{drawing.board['title']}: {'; '.join(done['failures'])}")
        return small(opened.picture(width=WIDTH, height=done["height"]))


def main(arguments: Sequence[str]) -> int:
    """Draw what the command line asks for."""
    asked = _parser().parse_args(arguments)
    now = int(time.time())
    try:
        span = Span(start=moment(asked.since, now=now), end=moment(asked.until, now=now))
        given = dict(_pair(each) for each in asked.var)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if span.start >= span.end:
        print("--from must be before --to", file=sys.stderr)
        return 2
    asked.out.mkdir(parents=True, exist_ok=True)
    try:
        url = asked.prometheus.rstrip("/")
        drawings = {name: prepare(url, name, given=given, span=span) for name in asked.dashboard or NAMES}
        with browser() as opened:
            for name, drawing in drawings.items():
                for theme in asked.theme or THEMES:
                    picture = asked.out / f"{name}-{theme}.png"
                    picture.write_bytes(draw(drawing, theme=theme, opened=opened))
                    print(f"{picture}: {picture.stat().st_size // 1024} kB")
                if drawing.empty:
                    print(f"{name}: no data for {', '.join(drawing.empty)}")
    except (AssertionError, ToolError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def moment(text: str, *, now: int) -> int:
    """Unix seconds of `now`, `now-15m`, a number of seconds, or a time in RFC 3339."""
    if text == "now":
        return now
    if text.startswith("now-") and text[4:-1].isdigit() and text[-1] in _UNITS:
        return now - int(text[4:-1]) * _UNITS[text[-1]]
    if text.isdigit():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise ValueError(f"{text}: not a time; write now-15m, seconds of Unix time, or 2026-01-05T09:00:00Z") from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--var {text}: write NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.dashboards.render", description=__doc__)
    parser.add_argument("--prometheus", required=True, metavar="URL", help="where it is asked")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the pictures go")
    parser.add_argument("--from", dest="since", default="now-3h", metavar="T", help="now-3h, seconds, or RFC 3339")
    parser.add_argument("--to", dest="until", default="now", metavar="T")
    parser.add_argument(
        "--var", action="append", default=[], metavar="NAME=VALUE", help="a choice, such as trainingjob=mine"
    )
    parser.add_argument("--dashboard", action="append", choices=NAMES, help="only this one")
    parser.add_argument("--theme", action="append", choices=THEMES, help="only this one")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
