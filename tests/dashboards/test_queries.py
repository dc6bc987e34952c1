"""Every query of every dashboard, on a real Prometheus with the story's three hours in it."""

from typing import Any, Final

import pytest

from tests.dashboards.grafana import NAMES, Span, answers, choices, dashboard, expression, panels
from tests.dashboards.prometheus import ask
from tests.dashboards.story import END, JOBS, RESNET, START

SPAN: Final = Span(start=START, end=END)
CHOSEN: Final = {"namespace": RESNET.namespace, "trainingjob": RESNET.name}
EVERY: Final = [
    pytest.param(name, panel, target, id=f"{name}: {panel['title']} {target['refId']}")
    for name in NAMES
    for panel in panels(dashboard(name))
    for target in panel["targets"]
]


def given(name: str) -> dict[str, str]:
    return CHOSEN if name == "job" else {}


def value(prometheus: str, name: str, title: str) -> dict[str, float]:
    """What a panel with one query shows at the end of the story, by the labels of its series."""
    (panel,) = [panel for panel in panels(dashboard(name)) if panel["title"] == title]
    chosen = choices(prometheus, dashboard(name), given=given(name), span=SPAN)
    (result,) = answers(prometheus, panel, chosen=chosen, span=SPAN).values()
    return {
        " ".join(each["metric"].values()): float((each["value"] if "value" in each else each["values"][-1])[1])
        for each in result
    }


def truth() -> dict[str, float]:
    """Seconds that the story gives resnet50 in each state."""
    spent: dict[str, float] = {}
    for _, part in RESNET.during(15):
        for state, share in part.mix.items():
            spent[state] = spent.get(state, 0.0) + share * 15
    return spent


@pytest.mark.parametrize(("name", "panel", "target"), EVERY)
def test_a_query_finds_something(prometheus: str, name: str, panel: dict[str, Any], target: dict[str, Any]) -> None:
    chosen = choices(prometheus, dashboard(name), given=given(name), span=SPAN)
    expr, step = expression(target, chosen=chosen, span=SPAN, width=panel["gridPos"]["w"])

    found = (
        ask(prometheus, expr, at=END)
        if target.get("instant")
        else ask(prometheus, expr, start=START, end=END, step=step)
    )

    assert found, expr
    numbers = [float(point[1]) for each in found for point in (each.get("values") or [each["value"]])]
    assert any(number == number for number in numbers), f"only NaN: {expr}"


@pytest.mark.parametrize("name", NAMES)
def test_variables_offer_what_there_is(prometheus: str, name: str) -> None:
    chosen = choices(prometheus, dashboard(name), given={}, span=SPAN)

    assert chosen["cluster"] == ".*"
    if name == "job":
        assert (chosen["namespace"], chosen["trainingjob"]) == ("language", "llm-7b")


def test_the_ledger_adds_up_to_the_story(prometheus: str) -> None:
    # The operator is scraped once a minute.
    assert value(prometheus, "job", "In the whole time range") == pytest.approx(truth(), abs=60)


def test_goodput_is_what_the_story_says(prometheus: str) -> None:
    true = truth()
    held = sum(seconds for state, seconds in true.items() if state != "queued")

    (told,) = value(prometheus, "job", "Goodput").values()

    assert told == pytest.approx(true["step"] / held, abs=0.005)


def test_the_fleets_accelerator_hours_are_those_of_all_jobs(prometheus: str) -> None:
    hours: dict[str, float] = {}
    for job in JOBS:
        for _, part in job.during(15):
            for state, share in part.mix.items():
                hours[state] = hours.get(state, 0.0) + share * 15 / 3600 * job.pods * job.gpus

    told = value(prometheus, "fleet", "Accelerator-hours by state")

    assert told["step"] == pytest.approx(hours["step"], rel=0.03)
    assert told["data_wait"] == pytest.approx(hours["data_wait"], rel=0.05)
    # A rate does not see what a counter has when it is seen first: short states are told a little low.
    assert told["gang_wait"] == pytest.approx(hours["gang_wait"], rel=0.3)


def test_jobs_without_accelerators_are_in_the_fleets_table_and_in_its_job_hours(prometheus: str) -> None:
    (panel,) = [panel for panel in panels(dashboard("fleet")) if panel["title"] == "Jobs, by what they waste"]
    chosen = choices(prometheus, dashboard("fleet"), given={}, span=SPAN)
    then = Span(start=START, end=START + 5400)
    held = {
        each["metric"]["trainingjob"]: each["value"][1]
        for each in answers(prometheus, panel, chosen=chosen, span=then)["A"]
    }
    hours = sum(15 / 3600 * share for job in JOBS for _, part in job.during(15) for share in part.mix.values())

    assert held["digits"] == "0"
    assert float(held["resnet50"]) == pytest.approx(8, rel=0.05)
    assert "pretrain" not in held
    assert sum(value(prometheus, "fleet", "Job-hours by state").values()) == pytest.approx(hours, rel=0.02)


def test_only_what_is_held_costs(prometheus: str) -> None:
    holding = [job for job in JOBS if dict(job.during(15)).get(END, job.parts[0]).phase == "Running"]

    (told,) = value(prometheus, "fleet", "Cost").values()

    assert told == pytest.approx(2.5 * sum(job.pods * job.gpus for job in holding))


def test_a_jobs_failures_are_told_by_cause(prometheus: str) -> None:
    assert value(prometheus, "job", "Failures by cause") == {"oom_killed": 1.0}


def test_two_replicas_of_the_operator_do_not_count_a_job_twice(prometheus: str) -> None:
    (told,) = value(prometheus, "fleet", "Jobs that wait").values()

    assert told == 1


def test_a_metric_that_nobody_exports_is_told_by_an_empty_answer(prometheus: str) -> None:
    assert ask(prometheus, "regatta_no_such_metric", at=END) == []


def test_a_query_that_is_no_promql_is_told_with_prometheus_own_words(prometheus: str) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        ask(prometheus, "sum(", at=END)
