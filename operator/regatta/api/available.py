"""What the API has and this version does not do yet: one table, from which CRD and operator refuse it alike.

To make a field available, delete its line.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from regatta.api.spec import Preprocessing

__all__ = ["NOT_YET", "Unavailable", "unavailable"]


class Asks(enum.Enum):
    """When a field asks for its behaviour."""

    BY_BEING_THERE = enum.auto()
    BY_ITS_VALUE = enum.auto()
    """Only the values listed ask for something that is not there."""
    BY_ANY_PART = enum.auto()
    """An object without any of its parts asks for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A field of the spec, or some of its values, whose behaviour comes with a later version."""

    path: str
    """Below spec, such as deadlines.queued."""
    instead: str
    """What to do now."""
    asks: Asks = Asks.BY_BEING_THERE
    which: tuple[str | bool, ...] = ()
    """The values, or the names of the parts."""

    def message(self, value: str | bool | None) -> str:
        """The refusal, naming the value where only some values are refused."""
        what = f"{json.dumps(value).strip(chr(34))} is " if self.asks is Asks.BY_ITS_VALUE else ""
        return f"{what}not available yet; {self.instead}"

    def refuses(self, spec: Mapping[str, Any]) -> bool:
        """Whether the (raw) spec asks for it."""
        value = _value(spec, self.path)
        match self.asks:
            case Asks.BY_ITS_VALUE:
                return isinstance(value, str | bool) and value in self.which
            case Asks.BY_ANY_PART:
                return isinstance(value, Mapping) and any(value.get(part) is not None for part in self.which)
            case Asks.BY_BEING_THERE:
                return value is not None

    def rules(self) -> Iterator[tuple[str, str]]:
        """CEL expressions over the field itself, true where it asks for nothing unavailable, with their messages."""
        match self.asks:
            case Asks.BY_ITS_VALUE:
                for value in self.which:
                    literal = json.dumps(value).replace('"', "'")
                    yield f"self != {literal}", self.message(value)
            case Asks.BY_ANY_PART:
                yield " && ".join(f"!has(self.{part})" for part in self.which), self.message(None)
            case Asks.BY_BEING_THERE:
                yield "false", self.message(None)


def unavailable(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths and messages of everything in the (raw) spec that is not available yet."""
    for entry in NOT_YET:
        if entry.refuses(spec):
            yield f"spec.{entry.path}", entry.message(_value(spec, entry.path))


def _value(spec: Mapping[str, Any], path: str) -> Any:
    value: Any = spec
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


_PREPROCESSING: Final = tuple(str(field.alias) for field in Preprocessing.model_fields.values())

NOT_YET: Final = (
    Unavailable(
        path="framework",
        asks=Asks.BY_ITS_VALUE,
        which=("Horovod",),
        instead="use PyTorch, TensorFlow, Keras or Custom",
    ),
    Unavailable(
        path="preprocessing",
        asks=Asks.BY_ANY_PART,
        which=_PREPROCESSING,
        instead="leave it out, and load the data in the program",
    ),
)
