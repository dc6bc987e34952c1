"""Bars and curves as SVG: shapes and numbers only, coloured by classes that the page defines.

Whatever text goes in is escaped here; coordinates are computed, never taken over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from regatta.cli.report.story import Chart, Curve
from regatta.cli.spending import STATES
from regatta.cli.text import clean, span

__all__ = ["colour_class", "mean", "number", "share_bar", "svg_chart"]

WIDTH: Final = 960
HEIGHT: Final = 190
LEFT: Final = 64
RIGHT: Final = 12
TOP: Final = 10
BOTTOM: Final = 24
PLAIN: Final = ("plain0", "plain1", "plain2")
FEED: Final = {"busy": "step", "starved": "data_wait", "blocked": "checkpoint_save"}
TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def colour_class(name: str, *, index: int = 0) -> str:
    """The class that colours a state, or the n-th of curves that are none."""
    if name in STATES:
        return f"s-{name}"
    return f"s-{FEED[name]}" if name in FEED else f"s-{PLAIN[index % len(PLAIN)]}"


def share_bar(parts: Mapping[str, float]) -> str:
    """One bar across the page, each part as wide as its share; each tells itself when pointed at."""
    whole = sum(parts.values())
    if whole <= 0:
        return ""
    drawn, x = [], 0.0
    for index, (name, value) in enumerate(parts.items()):
        width = value / whole * WIDTH
        told = escape(f"{clean(name)}: {span(value)}, {value / whole:.1%}")
        drawn.append(
            f'<rect class="{colour_class(name, index=index)}" x="{x:.2f}" y="0" width="{width:.2f}" height="44">'
            f"<title>{told}</title></rect>"
        )
        x += width
    return _svg("".join(drawn), height=44, label="The ledger as one bar")


def svg_chart(chart: Chart, *, start: float, end: float, marks: Sequence[float]) -> str:
    """The chart over the window; dashed lines stand where a new attempt began."""
    top = _top(chart)
    area = _Area(start=start, end=end, top=top)
    drawn = [*_grid(area, unit=chart.unit), *(_stack(chart, area) if chart.stacked else _lines(chart, area))]
    drawn += [
        f'<line class="mark" x1="{area.x(at):.1f}" x2="{area.x(at):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        for at in marks
        if start <= at <= end
    ]
    return _svg("".join(drawn), height=HEIGHT, label=chart.title)


def number(value: float, unit: str) -> str:
    """A value as people read it: 4.2 %, 215 ms, 1.32 k."""
    if unit == "%":
        return f"{value * 100:.3g} %"
    if unit == "s":
        if value >= 120:
            return span(value)
        return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g}"


class _Area:
    """Where in the picture a moment and a value lie."""

    def __init__(self, *, start: float, end: float, top: float) -> None:
        self.start, self.end, self.top = start, max(end, start + 1), top

    def x(self, at: float) -> float:
        return LEFT + (at - self.start) / (self.end - self.start) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - min(max(value / self.top, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)


def _top(chart: Chart) -> float:
    """The upper end of the axis: a round number above all values."""
    if chart.stacked:
        return 1.0
    highest = max((value for curve in chart.curves for _, value in curve.points), default=0.0)
    if highest <= 0:
        return 1.0
    scale = 10.0 ** math.floor(math.log10(highest))
    top = next(step * scale for step in (1, 1.5, 2, 3, 4, 5, 8, 10) if step * scale >= highest * 0.999)
    return min(top, 1.0) if chart.unit == "%" else top


def _grid(area: _Area, *, unit: str) -> Iterator[str]:
    for part in (0.0, 0.5, 1.0):
        y = area.y(part * area.top)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        label = escape(number(part * area.top, unit))
        yield f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    length = area.end - area.start
    step = next((each for each in TICKS if length / each <= 9), 86400 * math.ceil(length / 86400 / 9))
    form = "%H:%M:%S" if step < 60 else "%H:%M" if length <= 36 * 3600 else "%d %b %H:%M"
    at = math.ceil(area.start / step) * step
    while at <= area.end:
        if area.x(at) < WIDTH - 40:
            text = f"{datetime.fromtimestamp(at, UTC):{form}}"
            yield f'<text class="axis" x="{area.x(at):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>'
        at += step


def _lines(chart: Chart, area: _Area) -> Iterator[str]:
    for index, curve in enumerate(chart.curves):
        path = " ".join(
            "M" + " L".join(f"{area.x(at):.1f} {area.y(value):.1f}" for at, value in piece)
            for piece in _pieces(curve.points, gap=chart.step * 2.5)
        )
        yield f'<path class="line {colour_class(curve.name, index=index)}" d="{path}"/>'


def _stack(chart: Chart, area: _Area) -> Iterator[str]:
    below: dict[float, float] = {}
    for index, curve in enumerate(chart.curves):
        shapes = []
        for piece in _pieces(curve.points, gap=chart.step * 2.5):
            floor = [(at, below.get(at, 0.0)) for at, _ in piece]
            roof = [(at, low + value) for (at, low), (_, value) in zip(floor, piece, strict=True)]
            outline = " L".join(f"{area.x(at):.1f} {area.y(value):.1f}" for at, value in (*roof, *reversed(floor)))
            shapes.append(f"M{outline} Z")
            below.update(roof)
        yield f'<path class="{colour_class(curve.name, index=index)}" d="{" ".join(shapes)}"/>'


def _pieces(points: Sequence[tuple[float, float]], *, gap: float) -> Iterator[list[tuple[float, float]]]:
    """The points, parted where nothing was told for long."""
    piece: list[tuple[float, float]] = []
    for point in points:
        if piece and point[0] - piece[-1][0] > gap:
            yield piece
            piece = []
        piece.append(point)
    if piece:
        yield piece


def _svg(inside: str, *, height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(clean(label))}">{inside}</svg>'


def mean(curve: Curve) -> float:
    """Of a curve's values."""
    return sum(value for _, value in curve.points) / len(curve.points) if curve.points else 0.0
