"""Foreign words made fit for a status: one line, of bounded length, without what only a log needs."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_READ", "MAX_WORDS", "one_line"]

MAX_READ: Final = 4096
"""How much of a foreign text is looked at, whatever its length."""
MAX_WORDS: Final = 600
"""How much of it is repeated: the advice that follows must not be what a long answer cuts off."""


def one_line(text: str, *, limit: int = MAX_WORDS) -> str:
    """The text on one line, shortened in the middle: its beginning says who speaks, its end what is wrong."""
    line = " ".join(text[:MAX_READ].split())
    if len(line) <= limit:
        return line
    half = (limit - 3) // 2
    return f"{line[:half]}...{line[-half:]}"
