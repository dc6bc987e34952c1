"""`regatta top`: jobs by how well they use what they hold, from their statuses alone, again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from regatta.api.status import Phase, TrainingJobStatus
from regatta.cli.errors import ClusterError
from regatta.cli.spending import Order, Spending, accelerators, spending
from regatta.cli.text import columns, one_line

__all__ = ["keep_showing", "top_lines"]

_GAP: Final = 2
_LEAST_NAME: Final = 8
Job = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    namespace: str
    name: str
    status: TrainingJobStatus
    accelerators: int
    spent: Spending | None

    def measured(self, key: str) -> float | None:
        """A part of the status' efficiency, from 0 to 1; None where it was not measured."""
        value = self.status.efficiency.get(key)
        return value if value is not None and 0.0 <= value <= 1.0 else None


def top_lines(
    jobs: Sequence[Job],
    *,
    namespaces: bool,
    order: Order,
    ended: bool,
    width: int,
    height: int | None = None,
) -> list[str]:
    """A summary and a table, no wider than `width` and no longer than `height`; the worst jobs come first."""
    rows = [
        _Row(
            namespace=one_line(job["metadata"].get("namespace", "")),
            name=one_line(job["metadata"]["name"]),
            status=TrainingJobStatus.from_api(job.get("status")),
            accelerators=accelerators(job),
            spent=spending(job),
        )
        for job in jobs
    ]
    shown = [row for row in rows if ended or not (row.status.phase is not None and row.status.phase.terminal)]
    shown.sort(key=lambda row: (*_worst_first(row, order), row.namespace, row.name))
    room = len(shown) if height is None else max(1, height - 4)
    lines = [*_summary(rows), "", *_table(shown[:room], namespaces=namespaces, width=width)]
    if len(shown) > room:
        lines.append(f"... and {len(shown) - room} more")
    return [one_line(line, width=width) if len(line) > width else line for line in lines]


def keep_showing(
    jobs: Callable[[], Sequence[Job]],
    lines: Callable[[Sequence[Job], int, int], list[str]],
    *,
    console: Console,
    seconds: float,
    now: Callable[[], datetime],
    sleep: Callable[[float], None] = time.sleep,
    rounds: Iterable[object] = iter(int, 1),
) -> None:
    """Show the jobs anew every few seconds, until the user ends it; a cluster that is away for a while is told."""
    found = jobs()  # without an answer there is nothing to show, and the error is the answer
    trouble = ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for _ in rounds:
            size = console.size
            head = f"regatta top  {now().astimezone():%H:%M:%S}  every {seconds:g}s, Ctrl-C ends"
            body = [one_line(trouble or head, width=size.width), *lines(found, size.width, size.height - 1)]
            live.update(Text("\n".join(body), no_wrap=True), refresh=True)
            sleep(seconds)
            try:
                found, trouble = jobs(), ""
            except ClusterError as error:
                trouble = f"as it was before: {one_line(error)}"


def _worst_first(row: _Row, order: Order) -> tuple[bool, float]:
    """Jobs of which nothing is known come last."""
    if order is Order.WASTE:
        return row.spent is None, 0.0 if row.spent is None else -row.spent.waste_hours
    key = {Order.GOODPUT: "goodput", Order.DATA: "dataStallFraction", Order.GPU: "gpuUtilization"}[order]
    value = row.measured(key)
    return value is None, 0.0 if value is None else -value if order is Order.DATA else value


def _summary(rows: Sequence[_Row]) -> list[str]:
    """How many jobs there are in which phase, and what became of the accelerators of all that have not ended."""
    counts = {phase: sum(row.status.phase is phase for row in rows) for phase in Phase}
    told = [f"{count} {phase}" for phase, count in counts.items() if count]
    new = sum(row.status.phase is None for row in rows)
    told += [f"{new} not taken up"] if new else []
    living = [row.spent for row in rows if row.spent is not None and not _ended(row)]
    lines = [f"Jobs:     {', '.join(told) or 'none'}"]
    for accelerated, what in ((True, "GPUs"), (False, "Others")):
        held = [spent for spent in living if bool(spent.accelerators) is accelerated]
        weights = [(spent.accelerators or spent.workers, spent) for spent in held]
        total = sum(weight * spent.held_seconds for weight, spent in weights)
        if total > 0:
            share = sum(weight * min(spent.step_seconds, spent.held_seconds) for weight, spent in weights) / total
            waste = sum(spent.waste_hours for spent in held)
            lines.append(f"{what + ':':<10}trained {share:.0%} of the time held, wasted {_hours(waste)} {held[0].unit}")
    return lines


def _table(rows: Sequence[_Row], *, namespaces: bool, width: int) -> list[str]:
    if not rows:
        return ["nothing runs or waits; --all shows jobs that have ended"]
    head = ("PHASE", "GPUS", "GOODPUT", "DATA WAIT", "GPU USE", "WASTE")
    cells = [
        (
            str(row.status.phase or ""),
            str(row.accelerators or "-"),
            _percent(row.measured("goodput")),
            _percent(row.measured("dataStallFraction")),
            _percent(row.measured("gpuUtilization")),
            "-" if row.spent is None else f"{_hours(row.spent.waste_hours)} {row.spent.unit}",
        )
        for row in rows
    ]
    rest = sum(max(map(len, column)) + _GAP for column in zip(head, *cells, strict=True))
    names = [("NAMESPACE", "NAME"), *((row.namespace, row.name) for row in rows)]
    if not namespaces:
        names = [(name,) for _, name in names]  # type: ignore[misc]
    fitted = _fitted(names, room=width - rest - _GAP * (len(names[0]) - 1))
    return columns([(*name, *cell) for name, cell in zip(fitted, (head, *cells), strict=True)], gap=_GAP)


def _fitted(names: Sequence[tuple[str, ...]], *, room: int) -> list[tuple[str, ...]]:
    """The names, shortened so that all of a line fit into the room that the numbers leave."""
    widths = [max(map(len, column)) for column in zip(*names, strict=True)]
    while sum(widths) > room and max(widths) > _LEAST_NAME:
        widths[widths.index(max(widths))] -= 1
    return [tuple(one_line(name, width=width) for name, width in zip(each, widths, strict=True)) for each in names]


def _ended(row: _Row) -> bool:
    return row.status.phase is not None and row.status.phase.terminal


def _percent(value: float | None) -> str:
    """Rounded down: 100% is what only a perfect job has."""
    return "-" if value is None else f"{int(value * 1000) / 10:.1f}%"


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours < 100 else f"{hours:.0f}"
