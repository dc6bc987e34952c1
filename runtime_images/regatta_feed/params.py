"""Reading what a user wrote: every field is taken once, bounded, and what is left over is a typo."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from regatta_feed.errors import SpecError

__all__ = ["MISSING", "Params"]

T = TypeVar("T")


class _Missing:
    """No default: the field must be there."""


MISSING = _Missing()


class Params:
    """The fields of one object, at a path that errors name."""

    def __init__(self, raw: Any, path: str) -> None:
        if raw is None:
            raw = {}
        if not isinstance(raw, Mapping):
            raise SpecError(path, "must be an object of fields, such as {} for the defaults")
        self.path = path
        self._raw: dict[Any, Any] = dict(raw)
        self._known: list[str] = []

    def close(self) -> None:
        """Refuse what no one has taken."""
        for name in self._raw:
            near = difflib.get_close_matches(str(name), self._known, n=1)
            known = f"; known are {', '.join(self._known)}" if self._known else ""
            raise SpecError(
                f"{self.path}.{name}", f"no such field; did you mean {near[0]}?" if near else f"no such field{known}"
            )

    def has(self, name: str) -> bool:
        """Whether the field was written."""
        return self._raw.get(name) is not None

    def value(self, name: str, default: Any = MISSING) -> Any:
        """The raw value."""
        self._known.append(name)
        value = self._raw.pop(name, None)
        if value is None:
            if default is MISSING:
                raise SpecError(f"{self.path}.{name}", "is missing")
            return default
        return value

    def fail(self, name: str, words: str) -> SpecError:
        """An error at the field."""
        return SpecError(f"{self.path}.{name}", words)

    def _read(self, name: str, default: Any, read: Callable[[Any], T | None], words: str) -> T:
        value = self.value(name, default)
        if value is default and default is not MISSING:
            return value
        result = read(value)
        if result is None:
            raise self.fail(name, f"must be {words}, not {value!r:.80}")
        return result

    def number(self, name: str, default: Any = MISSING, *, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number within bounds."""
        return self._read(name, default, lambda value: _number(value, low, high), f"a number{_bounds(low, high)}")

    def integer(self, name: str, default: Any = MISSING, *, low: int, high: int) -> int:
        """A whole number within bounds."""
        return self._read(
            name, default, lambda value: _integer(value, low, high), f"a whole number{_bounds(low, high)}"
        )

    def boolean(self, name: str, default: Any = MISSING) -> bool:
        """True or false."""
        return self._read(name, default, lambda value: value if isinstance(value, bool) else None, "true or false")

    def text(self, name: str, default: Any = MISSING, *, limit: int = 2048) -> str:
        """A text that is not empty."""
        good = lambda value: value if isinstance(value, str) and 0 < len(value) <= limit and "\0" not in value else None  # noqa: E731
        return self._read(name, default, good, "a text")

    def choice(self, name: str, among: Collection[str], default: Any = MISSING) -> str:
        """One of a few words."""
        good = lambda value: value if isinstance(value, str) and value in among else None  # noqa: E731
        return self._read(name, default, good, f"one of {', '.join(among)}")

    def numbers(
        self,
        name: str,
        default: Any = MISSING,
        *,
        count: Collection[int],
        low: float = -math.inf,
        high: float = math.inf,
    ) -> tuple[float, ...]:
        """A list of as many numbers as one of `count` says."""

        def good(value: Any) -> tuple[float, ...] | None:
            if not isinstance(value, Sequence) or isinstance(value, str) or len(value) not in count:
                return None
            found = [_number(each, low, high) for each in value]
            return None if None in found else tuple(each for each in found if each is not None)

        many = " or ".join(str(each) for each in count)
        return self._read(name, default, good, f"a list of {many} numbers{_bounds(low, high)}")

    def size(self, name: str, *, low: int = 1, high: int = 16_384) -> tuple[int, ...]:
        """One number, or height and width."""

        def good(value: Any) -> tuple[int, ...] | None:
            parts = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            found = tuple(each for each in (_integer(part, low, high) for part in parts) if each is not None)
            return found if len(found) == len(parts) and len(found) in (1, 2) else None

        return self._read(name, MISSING, good, f"a whole number or [height, width]{_bounds(low, high)}")


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return None
    return float(value)


def _integer(value: Any, low: int, high: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        return None
    return value


def _bounds(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high):
        return f" from {low:g} on"
    if math.isinf(low):
        return f" up to {high:g}"
    return f" between {low:g} and {high:g}"
