"""Kubernetes quantities: numbers such as 500m, 1.5, 16Gi or 1e3."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

__all__ = ["parse_quantity"]

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(\d+(\.\d*)?|\.\d+))(?P<suffix>[eE][+-]?\d{1,3}|[numkMGTPE]|[KMGTPE]i)?", re.ASCII
)
_SUFFIXES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def parse_quantity(value: str | float) -> Decimal:
    """The exact number that a quantity stands for; ValueError says what one looks like."""
    match = None if isinstance(value, bool) else _QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(
            f"{value!r} is not a quantity; write a number with an optional suffix, such as 500m, 2 or 16Gi"
        )
    suffix = match["suffix"] or ""
    if suffix in _SUFFIXES:
        return Decimal(match["number"]) * _SUFFIXES[suffix]
    return Decimal(match["number"] + suffix)
