"""The chain from a job to what hinders it, as a value, as a tree of lines, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from regatta.cli.text import clean, one_line
from regatta.cli.view import Style

__all__ = ["Chain", "Link", "chain_json", "chain_lines"]

MAX_TEXT: Final = 700
"""How much of a foreign message one link repeats."""
_NAME: Final = 10


@dataclass(frozen=True, slots=True)
class Link:
    """One thing on the way from the job to the obstacle, and what hangs on it."""

    kind: str
    """job, operator, attempt, failure, group, pod, container, condition, event, nodes or quota."""
    text: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Why a job is where it is."""

    root: Link
    obstacle: str = ""
    """What hinders it, or why it failed; empty where nothing does."""
    fix: str = ""
    """What to do about it."""
    summary: str = ""
    """What to say where nothing hinders it."""
    notes: tuple[str, ...] = ()
    """What could not be read, and so is not in the chain."""


def chain_lines(chain: Chain, *, style: Style) -> Iterator[str]:
    """The chain for a terminal: the tree, then the obstacle and what to do."""
    yield from textwrap.wrap(one_line(chain.root.text), style.width, subsequent_indent="  ")
    yield from _branches(chain.root.links, indent="", style=style)
    yield ""
    if chain.obstacle:
        yield from _field("Obstacle", chain.obstacle, style=style)
        yield from _field("Fix", chain.fix, style=style)
    else:
        yield from _field("Obstacle", f"none: {chain.summary}" if chain.summary else "none", style=style)
        yield from _field("Next", chain.fix, style=style)
    for note in chain.notes:
        yield from _field("Note", note, style=style)


def chain_json(chain: Chain) -> dict[str, Any]:
    """The chain for programs; what is empty is left out."""
    told = {
        "obstacle": chain.obstacle,
        "fix": chain.fix,
        "summary": chain.summary,
        "notes": list(chain.notes),
        "chain": _link_json(chain.root),
    }
    return {key: value for key, value in told.items() if value}


def _link_json(link: Link) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": link.kind, "text": clean(link.text)}
    if link.links:
        told["links"] = [_link_json(child) for child in link.links]
    return told


def _branches(links: tuple[Link, ...], *, indent: str, style: Style) -> Iterator[str]:
    fork, last, pipe = ("|- ", "`- ", "|  ") if style.ascii_only else ("├─ ", "└─ ", "│  ")
    for index, link in enumerate(links):
        final = index == len(links) - 1
        below = indent + ("   " if final else pipe)
        text = one_line(link.text, width=MAX_TEXT)
        # Deep in the tree there is still room for a word or two, however narrow the terminal is.
        width = max(style.width, len(below) + 24)
        yield from textwrap.wrap(
            text,
            width,
            initial_indent=indent + (last if final else fork),
            subsequent_indent=below + (pipe if link.links else "  "),
            break_on_hyphens=False,
        )
        yield from _branches(link.links, indent=below, style=style)


def _field(name: str, text: str, *, style: Style) -> Iterator[str]:
    if not text:
        return
    yield from textwrap.wrap(
        one_line(text),
        style.width,
        initial_indent=f"{name + ':':<{_NAME}}",
        subsequent_indent=" " * _NAME,
        break_on_hyphens=False,
    )
