"""A story as one HTML page: no script, nothing from elsewhere, light and dark as the reader's system wants it.

Names, messages and labels come from users and clusters. All of them go through `_text`, which escapes them and shows
control characters instead of obeying them; the page's own policy forbids scripts besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import Final

from regatta.cli.report.charts import colour_class, mean, number, share_bar, svg_chart
from regatta.cli.report.story import Chart, Event, Story
from regatta.cli.report.style import STYLE
from regatta.cli.spending import FREE, STATES
from regatta.cli.text import clean, one_line, span

__all__ = ["page"]

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
NUMBERS: Final = (
    ("goodput", "Goodput", "%"),
    ("dataStallFraction", "Waits for data", "%"),
    ("samplesPerSecond", "Samples per second", ""),
    ("stepSeconds", "Time of a step", "s"),
    ("gpuUtilization", "GPUs busy", "%"),
    ("memoryUsedFraction", "Memory used", "%"),
    ("mfu", "Model FLOPs utilisation", "%"),
    ("joulesPerSample", "Joules per sample", ""),
)
"""What may be measured, in the order in which one asks for it."""


def page(story: Story) -> str:
    """The whole page."""
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_text(story.name)}: training report</title><style>{STYLE}</style></head><body><main>",
            *_head(story),
            *_numbers(story),
            *_ledger(story),
            *_course(story),
            *_failures(story),
            *_foot(story),
            "</main></body></html>\n",
        )
    )


def _head(story: Story) -> Iterator[str]:
    yield f'<p class="over">Training job in namespace {_text(story.namespace)}</p><h1>{_text(story.name)}</h1>'
    phase = story.phase if story.phase.isalpha() else ""
    reason = f" ({_text(story.reason)})" if story.reason and story.reason != story.phase else ""
    yield f'<p class="phase {phase}">{_text(story.phase or "phase unknown")}{reason}</p>'
    if story.message:
        yield f"<p>{_text(story.message)}</p>"
    facts = [
        ("Framework", story.framework),
        ("Size", story.shape),
        ("Created", _moment(story.created_at)),
        ("Ended", _moment(story.ended_at)),
        ("Took", _took(story)),
        ("Attempt", "" if story.attempt is None else str(story.attempt)),
        ("Restarts", story.restarts),
        ("Progress", story.progress),
    ]
    shown = "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts if value)
    yield f'<dl class="facts">{shown}</dl>'
    for note in story.notes:
        yield f'<p class="note">{_text(note)}</p>'


def _numbers(story: Story) -> Iterator[str]:
    told = dict(story.efficiency)
    held = sum(seconds for state, seconds in story.ledger.items() if state not in FREE)
    if "goodput" not in told and held > 0 and "step" in story.ledger:
        whole = sum(seconds for state, seconds in story.ledger.items() if state != "queued")
        told["goodput"] = story.ledger["step"] / whole
    tiles = [
        f'<div class="tile"><b>{escape(number(told[key], unit))}</b><span>{name}</span></div>'
        for key, name, unit in NUMBERS
        if key in told
    ]
    waste = max(0.0, held - story.ledger.get("step", 0.0)) * (story.accelerators or story.workers) / 3600
    if held > 0 and (story.accelerators or story.workers):
        unit = "GPU-hours" if story.accelerators else "pod-hours"
        tiles.append(f'<div class="tile"><b>{waste:.3g}</b><span>{unit} held, not training</span></div>')
    if tiles:
        yield f'<div class="tiles">{"".join(tiles)}</div>'


def _ledger(story: Story) -> Iterator[str]:
    yield "<h2>Where the time went</h2>"
    whole = sum(story.ledger.values())
    if whole <= 0:
        yield "<p>The ledger is empty: nothing has been booked so far.</p>"
        return
    yield share_bar(story.ledger)
    yield '<table><thead><tr><th>State</th><th class="n">Time</th><th class="n">Share</th><th>What it is</th>'
    yield "</tr></thead><tbody>"
    for index, (state, seconds) in enumerate(story.ledger.items()):
        swatch = f'<i class="{colour_class(state, index=index)}"></i>'
        words = STATES.get(state, "a state that this version does not know")
        yield (
            f'<tr><td>{swatch}{_text(state)}</td><td class="n">{span(seconds)}</td>'
            f'<td class="n">{seconds / whole:.1%}</td><td>{words}</td></tr>'
        )
    yield "</tbody></table>"


def _course(story: Story) -> Iterator[str]:
    yield "<h2>Over time</h2>"
    if not story.charts:
        yield (
            "<p>A status keeps no course over time. Where Prometheus scrapes the cluster, "
            "<code>regatta report NAME --prometheus URL</code> shows it here.</p>"
        )
        return
    times = [at for chart in story.charts for curve in chart.curves for at, _ in curve.points]
    start, end = min(times), max(times)
    for chart in story.charts:
        yield f"<figure><figcaption><b>{_text(chart.title)}</b> {_text(chart.words)}</figcaption>"
        yield svg_chart(chart, start=start, end=end, marks=story.restarts_at)
        yield f'<p class="legend">{"".join(_legend(chart))}</p></figure>'
    marked = " Dashed lines: a new attempt began." if story.restarts_at else ""
    yield f'<p class="small">Times are in UTC.{marked}</p>'


def _legend(chart: Chart) -> Iterator[str]:
    for index, curve in enumerate(chart.curves):
        swatch = f'<i class="{colour_class(curve.name, index=index)}"></i>'
        yield f"<span>{swatch}{_text(curve.name)} <em>{escape(number(mean(curve), chart.unit))}</em></span>"


def _failures(story: Story) -> Iterator[str]:
    yield "<h2>Failures and restarts</h2>"
    if not story.failures and not story.failure_counts:
        yield "<p>None.</p>"
        return
    counts = ", ".join(f"{_text(cause)} {count}" for cause, count in sorted(story.failure_counts.items()))
    if counts:
        yield f"<p>In all: {counts}.</p>"
    if not story.failures:
        return
    heads = ("When", "Attempt", "Cause", "Where", "What happened", "Then")
    yield f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>"
    for event in story.failures:
        yield f"<tr>{''.join(_cells(event))}</tr>"
    yield "</tbody></table>"
    if sum(story.failure_counts.values()) > len(story.failures):
        yield '<p class="small">The status keeps the last ten failures one by one.</p>'


def _cells(event: Event) -> Iterator[str]:
    code = "" if event.exit_code is None else f"exit code {event.exit_code}: "
    lost = "" if event.lost_seconds is None else f"{span(event.lost_seconds)} lost"
    then = ", ".join(filter(None, (event.action, lost)))
    for text in (_moment(event.at), str(event.attempt), event.cause):
        yield f"<td>{_text(text)}</td>"
    for text in (event.where, f"{code}{event.message}", then):
        yield f'<td class="w">{_text(text)}</td>'


def _foot(story: Story) -> Iterator[str]:
    sources = " and ".join(story.sources)
    yield f"<footer>Made {_text(_moment(story.made_at))} by regatta report, from {_text(sources)}.</footer>"


def _took(story: Story) -> str:
    if story.created_at is None:
        return ""
    end = story.ended_at or story.made_at
    return f"{span((end - story.created_at).total_seconds())}{'' if story.ended_at else ' so far'}"


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _text(value: object) -> str:
    return escape(one_line(clean(value), width=2000))
