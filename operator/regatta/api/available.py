"""What the API has and this version does not do yet: one table, from which CRD and operator refuse it alike.

To make a field available, delete its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from regatta.api.spec import Preprocessing

__all__ = ["NOT_YET", "Unavailable", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A field of the spec whose behaviour comes with a later version."""

    path: str
    """Below spec, such as deadlines.queued."""
    instead: str
    """What to do now."""
    parts: tuple[str, ...] = ()
    """Of an object that asks for nothing without any of them; a field without parts asks by being there."""

    @property
    def message(self) -> str:
        """The refusal."""
        return f"not available yet; {self.instead}"

    def refuses(self, spec: Mapping[str, Any]) -> bool:
        """Whether the (raw) spec asks for it."""
        value = _value(spec, self.path)
        if not self.parts:
            return value is not None
        return isinstance(value, Mapping) and any(value.get(part) is not None for part in self.parts)

    @property
    def rule(self) -> str:
        """A CEL expression over the field itself, true where it asks for nothing."""
        return " && ".join(f"!has(self.{part})" for part in self.parts) or "false"


def unavailable(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths and messages of everything in the (raw) spec that is not available yet."""
    for entry in NOT_YET:
        if entry.refuses(spec):
            yield f"spec.{entry.path}", entry.message


def _value(spec: Mapping[str, Any], path: str) -> Any:
    value: Any = spec
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


_PREPROCESSING: Final = tuple(str(field.alias) for field in Preprocessing.model_fields.values())

NOT_YET: Final = (
    Unavailable(
        path="preprocessing",
        parts=_PREPROCESSING,
        instead="leave it out, and load the data in the program",
    ),
)
