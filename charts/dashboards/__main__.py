"""`python -m charts.dashboards` writes the dashboards; with --check it says whether they are what it would write."""

import sys
from pathlib import Path
from typing import Final

from charts.dashboards.fleet import fleet
from charts.dashboards.health import health
from charts.dashboards.job import job
from charts.dashboards.panels import to_json

FOLDER: Final = Path(__file__).resolve().parents[1] / "regatta" / "dashboards"
BOARDS: Final = {"fleet": fleet, "job": job, "operator": health}


def main(arguments: list[str]) -> int:
    """Write all, or compare all."""
    texts = {FOLDER / f"{name}.json": to_json(made()) for name, made in BOARDS.items()}
    if arguments == ["--check"]:
        stale = [path.name for path, text in texts.items() if not path.exists() or path.read_text() != text]
        if stale:
            print(f"{', '.join(stale)}: not what the generator makes; run: python -m charts.dashboards")
        return 1 if stale else 0
    if arguments:
        print("usage: python -m charts.dashboards [--check]")
        return 2
    FOLDER.mkdir(exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
