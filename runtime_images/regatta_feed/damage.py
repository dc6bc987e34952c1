"""The book of damaged samples: each named once, up to a number, and so many of them that the feed gives up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from regatta_feed.errors import FeedError
from regatta_feed.sources.base import Notice

__all__ = ["NAMED_LIMIT", "Damage", "DamageBook"]

NAMED_LIMIT: Final = 20
"""Damaged samples that are named in the log."""


class Damage(NamedTuple):
    """A sample that could not be used."""

    sample: int
    reason: str
    words: str


class DamageBook:
    """What all workers have found."""

    def __init__(self, *, samples: int, fail: bool, log: Callable[[str], None], errors: Counter[str]) -> None:
        self.found: dict[int, Damage] = {}
        self._samples, self._fail, self._log, self._errors = samples, fail, log, errors
        self._limit = -(-samples // 100)

    def notice(self, notices: Sequence[Notice]) -> None:
        """What indexing has left out; raises FeedError where nothing may be."""
        for each in notices[:NAMED_LIMIT]:
            self._log(f"{each.where}: {each.words}")
        if notices and self._fail:
            raise FeedError(f"the data is damaged, and onError is Fail: {notices[0].words}")

    def note(self, damaged: Iterable[Sequence[Any]]) -> None:
        """Write down [sample, reason, words] of each; raises FeedError where it is too much."""
        for sample, reason, words in damaged:
            if sample in self.found:
                continue
            self.found[sample] = Damage(sample, reason, words)
            self._errors[reason] += 1
            number = len(self.found)
            if number <= NAMED_LIMIT:
                last = "; further ones are counted, not named" if number == NAMED_LIMIT else ""
                self._log(f"damaged sample ({reason}): {words}{last}")
        self._check()

    def _check(self) -> None:
        count = len(self.found)
        if count and self._fail:
            raise FeedError(f"a sample is damaged, and onError is Fail: {next(iter(self.found.values())).words}")
        if count > self._limit:
            raise FeedError(
                f"{count} of {self._samples} samples are damaged, more than one in a hundred; "
                f"the last: {list(self.found.values())[-1].words}"
            )
