"""Text for a terminal: foreign text made harmless, columns, spans of time, bars.

Names, messages and logs come from whoever may write to the cluster. None of it may move the cursor, set a title,
reverse the reading order or hide what follows, so all of it passes through here before it is printed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

__all__ = ["age", "bar", "clean", "columns", "one_line", "parse_time", "span"]

_SEQUENCE: Final = re.compile(
    r"\x1b(?:"
    r"\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links, clipboard
    r"|[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|[ -/]*[0-~]"  # the two-character ones
    r")"
)
_HARMFUL: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT: Final = frozenset("\n\t")
_PLAIN: Final = re.compile(r"[\n\t -~]*")


def clean(text: object) -> str:
    """The text without control sequences; other control characters are shown instead of obeyed."""
    plain = str(text)
    if _PLAIN.fullmatch(plain):
        return plain
    plain = _SEQUENCE.sub("", plain.replace("\r\n", "\n"))
    return "".join(
        character if character in _KEPT or unicodedata.category(character) not in _HARMFUL else _shown(character)
        for character in plain
    )


def one_line(text: object, *, width: int | None = None) -> str:
    """The cleaned text on one line, shortened to `width` where one is given."""
    line = " ".join(clean(text).split())
    return line if width is None or len(line) <= width else line[: max(0, width - 1)] + "…"


def parse_time(text: object) -> datetime | None:
    """A Kubernetes timestamp, or None where there is none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def span(seconds: float) -> str:
    """A span of time in at most two units, as kubectl shows it: 42s, 3m5s, 2h10m, 5d3h."""
    left = max(0, int(seconds))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return "".join(parts) or "0s"


def age(then: object, *, now: datetime) -> str:
    """How long ago a Kubernetes timestamp is; <unknown> where it is none."""
    moment = parse_time(then)
    return "<unknown>" if moment is None else span((now - moment).total_seconds())


def bar(fraction: float, *, width: int, ascii_only: bool = False) -> str:
    """A progress bar of exactly `width` characters."""
    done = int(min(max(fraction, 0.0), 1.0) * width)
    full, empty = ("#", "-") if ascii_only else ("█", "░")
    return full * done + empty * (width - done)


def columns(rows: Sequence[Sequence[str]], *, gap: int = 3) -> list[str]:
    """Lines of a table whose columns are as wide as they must be, like kubectl's; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _shown(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
