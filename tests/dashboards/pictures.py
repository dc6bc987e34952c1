"""`python -m tests.dashboards.pictures`: the pictures of docs/dashboards, from the story's three hours."""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from regatta.cli.report.over_time import found_window, gone_story, with_course
from regatta.cli.report.page import page
from regatta.cli.report.prometheus import Prometheus
from tests.cluster.tool.paths import REPO
from tests.dashboards.browser import Browser, browser
from tests.dashboards.grafana import NAMES, Span
from tests.dashboards.png import small
from tests.dashboards.prometheus import running, write_blocks
from tests.dashboards.render import THEMES, draw, prepare
from tests.dashboards.story import END, RESNET, START

FOLDER: Final = REPO / "docs" / "dashboards"
CHOSEN: Final = {"namespace": RESNET.namespace, "trainingjob": RESNET.name}
WIDTH: Final = 1060
UNTIL: Final = {"fleet": END - 1920, "job": END - 120, "operator": END - 120}
"""When most is going on; and not at a full hour, whose label would lie outside of the picture."""


def main() -> int:
    """Draw all of them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_blocks(Path(folder))
        with running(Path(folder)) as url, browser() as opened:
            for name in NAMES:
                given = CHOSEN if name == "job" else {}
                drawing = prepare(url, name, given=given, span=Span(start=START, end=UNTIL[name]))
                for theme in THEMES:
                    (FOLDER / f"{name}-{theme}.png").write_bytes(draw(drawing, theme=theme, opened=opened))
            file = Path(folder) / "report.html"
            file.write_text(_report(url))
            for theme in THEMES:
                (FOLDER / f"report-{theme}.png").write_bytes(_of_page(file, theme=theme, opened=opened))
    for picture in sorted(FOLDER.glob("*.png")):
        print(f"{picture.name}: {picture.stat().st_size // 1024} kB")
    return 0


def _report(url: str) -> str:
    prometheus = Prometheus(url)
    window = found_window(prometheus, RESNET.namespace, RESNET.name, since=START, until=END)
    story = gone_story(prometheus, RESNET.namespace, RESNET.name, window, now=datetime.fromtimestamp(END, UTC))
    # The port is another every time, and so would the picture be.
    return page(with_course(story, prometheus, window)).replace(url, "http://prometheus:9090")


def _of_page(file: Path, *, theme: str, opened: Browser) -> bytes:
    opened.open(file, width=WIDTH, height=900, dark=theme == "dark")
    height = opened.evaluate("document.documentElement.scrollHeight")
    opened.resize(width=WIDTH, height=height)
    return small(opened.picture(width=WIDTH, height=height))


if __name__ == "__main__":
    sys.exit(main())
