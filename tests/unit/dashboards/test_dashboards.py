"""The committed dashboards: what the generator makes, and what makes a dashboard usable on any installation."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import promql_parser
import pytest

from charts.dashboards.__main__ import BOARDS, FOLDER
from charts.dashboards.panels import to_json

NAMES: Final = tuple(BOARDS)
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
FOR_PARSER: Final = (("$__rate_interval", "5m"), ("$__interval", "5m"), ("$__range", "1h"))
"""Grafana's own variables that stand where PromQL wants a duration."""
RANGED: Final = re.compile(r"(\w+)\((\w+)\{([^}]*)\}\[([^\]]+)\]")
OF_STATUS: Final = ("regatta_trainingjob_failures_total", "regatta_trainingjob_time_seconds_total")
"""What the status counts for the whole of a job: the numbers themselves are what one wants to see."""
ENDINGS: Final = ("_total", "_count", "_sum", "_bucket")


def dashboard(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def targets() -> Iterator[Any]:
    for name in NAMES:
        for panel in panels(name):
            for target in panel["targets"]:
                yield pytest.param(name, target, id=f"{name}: {panel['title']} {target['refId']}")


def selectors(expr: str) -> list[tuple[str, str]]:
    return re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expr)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_json_is_what_the_generator_makes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == to_json(BOARDS[name]())


def test_no_dashboard_lies_there_that_nobody_generates() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.json" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_keeps_its_address_and_cannot_be_edited_where_the_next_upgrade_would_undo_it(name: str) -> None:
    board = dashboard(name)

    assert board["uid"] == f"regatta-{name}"
    assert board["editable"] is False
    assert board["tags"] == ["regatta"]
    assert board["description"].endswith(".")
    assert board.get("id") is None


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_fits_a_config_map(name: str) -> None:
    assert (FOLDER / f"{name}.json").stat().st_size < 512 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_the_data_source_is_a_choice_and_all_other_choices_follow_the_time_range(name: str) -> None:
    first, *others = dashboard(name)["templating"]["list"]

    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", "prometheus")
    for variable in others:
        assert variable["datasource"] == SOURCE
        assert variable["refresh"] == 2  # on time range change: jobs that are gone can still be chosen
        assert variable["query"]["query"].startswith("label_values(regatta_")
        assert "auto" not in variable


@pytest.mark.parametrize("name", NAMES)
def test_dashboards_link_to_one_another_with_their_time_range_and_choices(name: str) -> None:
    (link,) = dashboard(name)["links"]

    assert (link["type"], link["tags"]) == ("dashboards", ["regatta"])
    assert link["keepTime"]
    assert link["includeVars"]


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows_in_which_unit(name: str) -> None:
    for panel in panels(name):
        assert panel["title"]
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == SOURCE, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_numbers_and_titles_of_their_own_and_lie_side_by_side(name: str) -> None:
    every = dashboard(name)["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in every)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


@pytest.mark.parametrize(("name", "target"), list(targets()))
def test_a_query_is_promql(name: str, target: dict[str, Any]) -> None:
    expr = target["expr"]
    for variable, value in FOR_PARSER:
        expr = expr.replace(variable, value)

    promql_parser.parse(expr)  # raises with the place
    assert target["datasource"] == SOURCE


@pytest.mark.parametrize(("name", "target"), list(targets()))
def test_every_series_of_a_query_is_chosen_by_the_variables_at_the_head(name: str, target: dict[str, Any]) -> None:
    others = [each["name"] for each in dashboard(name)["templating"]["list"] if each["type"] == "query"]
    found = selectors(target["expr"])

    assert found
    for metric, matchers in found:
        wanted = others if metric.startswith("regatta") or ":regatta_" in metric else others[:2]
        for variable in wanted:
            assert f'"${variable}"' in matchers, f"{metric} does not heed ${variable}"


@pytest.mark.parametrize(("name", "target"), list(targets()))
def test_counters_are_only_read_as_rates_over_the_interval_or_the_range(name: str, target: dict[str, Any]) -> None:
    expr = target["expr"]
    ranged = RANGED.findall(expr)
    counters = [metric for metric, _ in selectors(expr) if metric.endswith(ENDINGS) and metric not in OF_STATUS]
    # Only who has a series is asked here, not its value.
    bare = len(re.findall(r"max by \(cluster, namespace, pod\) \(regatta_runtime_steps_total\{", expr))

    assert sum(metric in counters for _, metric, _, _ in ranged) + bare == len(counters)
    for function, metric, _, window in ranged:
        if metric in counters:
            assert function in {"rate", "increase"}
            counted = "$__interval" if target.get("interval") == "5m" else "$__rate_interval"
            assert window in {counted, "$__rate_interval", "$__range", "1h"}, f"{metric}[{window}]"


@pytest.mark.parametrize("name", NAMES)
def test_metrics_that_are_scraped_once_a_minute_get_a_rate_over_several_minutes(name: str) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            if "rate(regatta_trainingjob_time_seconds_total" in target["expr"]:
                assert target["interval"] == "1m", panel["title"]
