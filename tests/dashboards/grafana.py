"""What Grafana does with a dashboard before it draws it: choices become text, intervals numbers, queries answers."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.cluster.tool.paths import REPO
from tests.dashboards.prometheus import ask

__all__ = ["NAMES", "Span", "answers", "choices", "dashboard", "expression", "panels"]

FOLDER: Final = REPO / "charts" / "regatta" / "dashboards"
NAMES: Final = ("fleet", "job", "operator")
SCRAPE: Final = 15
"""Grafana's own default of a data source's scrape interval."""
POINTS: Final = 1600
"""Data points across the whole width."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_VALUES: Final = re.compile(r"label_values\((?P<series>.+),\s*(?P<label>\w+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time range, in seconds of Unix time."""

    start: int
    end: int


def dashboard(name: str, *, folder: Path = FOLDER) -> dict[str, Any]:
    """A committed dashboard."""
    board: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return board


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels that show something."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel


def choices(url: str, board: Mapping[str, Any], *, given: Mapping[str, str], span: Span) -> dict[str, str]:
    """The value of each variable: what is given, else all where all can be chosen, else the first that there is."""
    chosen: dict[str, str] = {}
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        name = variable["name"]
        if name in given:
            chosen[name] = given[name]
        elif variable.get("includeAll"):
            chosen[name] = variable["allValue"]
        else:
            asked = _VALUES.fullmatch(variable["query"]["query"])
            assert asked, variable["query"]
            series = _replaced(asked["series"], chosen)
            found = ask(
                url, f"group by ({asked['label']}) (last_over_time({series}[{span.end - span.start}s]))", at=span.end
            )
            values = sorted(each["metric"].get(asked["label"], "") for each in found)
            chosen[name] = values[0] if values else ""
    return chosen


def expression(target: Mapping[str, Any], *, chosen: Mapping[str, str], span: Span, width: int = 24) -> tuple[str, int]:
    """A target's PromQL with everything in place, and the step at which it is asked."""
    scrape = _seconds(target["interval"]) if target.get("interval") else SCRAPE
    step = max(scrape, _round((span.end - span.start) / (POINTS * width / 24)))
    rate = max(step + scrape, 4 * scrape)
    durations = {"$__rate_interval": rate, "$__interval": step, "$__range": span.end - span.start}
    expr = target["expr"]
    for name, seconds in durations.items():
        expr = expr.replace(name, f"{seconds}s")
    return _replaced(expr, chosen), step


def answers(
    url: str, panel: Mapping[str, Any], *, chosen: Mapping[str, str], span: Span
) -> dict[str, list[dict[str, Any]]]:
    """What Prometheus says to each target of a panel, by the target's letter."""
    result = {}
    for target in panel["targets"]:
        expr, step = expression(target, chosen=chosen, span=span, width=panel["gridPos"]["w"])
        if target.get("instant"):
            result[target["refId"]] = ask(url, expr, at=span.end)
        else:
            start = span.start - span.start % step
            result[target["refId"]] = ask(url, expr, start=start, end=span.end, step=step)
    return result


def _replaced(text: str, chosen: Mapping[str, str]) -> str:
    for name, value in chosen.items():
        text = re.sub(rf"\$\{{{name}\}}|\${name}\b", lambda _, value=value: value, text)
    return text


def _seconds(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]


def _round(seconds: float) -> int:
    """The next interval up that reads well."""
    return next((each for each in (1, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600) if each >= seconds), 3600)
