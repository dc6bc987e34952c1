"""Quantities as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from regatta.api.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (2, "2"),
        (1.5, "1.5"),
        (".5", "0.5"),
        ("1.", "1"),
        ("+1", "1"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("1k", "1000"),
        ("1E", "1000000000000000000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
        ("100n", "0.0000001"),
        ("100u", "0.0001"),
        ("-3", "-3"),
    ],
)
def test_every_form_is_read_exactly(text: str | float, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "16 GB", "16GB", "1,5", "1K", "1ki", "one", "1e", "0x10", "1m1", "\u0661", True, "1\n"]
)
def test_what_is_no_quantity_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500m, 2 or 16Gi"):
        parse_quantity(text)
