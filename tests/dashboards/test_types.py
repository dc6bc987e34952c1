"""The dashboards have the form that Grafana 13's own published types give them."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.dashboards.grafana import NAMES, dashboard
from tests.dashboards.types import complaints


@pytest.mark.parametrize("name", NAMES)
def test_the_compiler_has_nothing_to_say(name: str) -> None:
    assert complaints(dashboard(name)) == ""


def _tooltip(board: dict[str, Any]) -> None:
    board["graphTooltip"] = 7


def _field(board: dict[str, Any]) -> None:
    board["panels"][0]["fieldConfg"] = board["panels"][0].pop("fieldConfig")


def _legend(board: dict[str, Any]) -> None:
    panel = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    panel["options"]["legend"]["displayMode"] = "tabel"


@pytest.mark.parametrize(
    ("spoil", "word"), [(_tooltip, "7"), (_field, "fieldConfg"), (_legend, "tabel")], ids=["number", "name", "word"]
)
def test_what_is_misspelt_is_found(spoil: Callable[[dict[str, Any]], None], word: str) -> None:
    board = copy.deepcopy(dashboard("operator"))
    spoil(board)

    assert word in complaints(board)
