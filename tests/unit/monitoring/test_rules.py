"""The rules are what promtool calls right; every alert fires where it should, and says what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.tool import api as tool
from tests.monitoring import rules

REPO = Path(__file__).resolve().parents[3]
CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
RUNBOOKS = REPO / "docs" / "runbooks.md"


def promtool(*arguments: str) -> str:
    done = subprocess.run([str(tool.promtool_path()), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rule file as the chart renders it."""
    path = tmp_path_factory.mktemp("rules") / "regatta.yaml"
    path.write_text(rules.rendered())
    return path


@pytest.fixture(scope="module")
def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in rules.groups() for rule in group["rules"] if "alert" in rule}


def test_promtool_finds_nothing_to_complain_about(file: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(file))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_rules_make_of_series_what_the_cases_say(case: Path, file: Path, tmp_path: Path) -> None:
    # As text: what promtool takes for the series 0x20 is a number in YAML.
    (tmp_path / case.name).write_text(f"rule_files: [{file}]\n{case.read_text()}")

    promtool("test", "rules", str(tmp_path / case.name))


def test_every_alert_is_made_to_fire_by_some_case(alerts: dict[str, Any]) -> None:
    told = [
        str(sample["labels"]) + str(expected["expr"])
        for case in CASES
        for test in yaml.safe_load(case.read_text())["tests"]
        for expected in test.get("promql_expr_test", [])
        for sample in expected["exp_samples"]
        if sample["value"]
    ] + [
        expected["alertname"]
        for case in CASES
        for test in yaml.safe_load(case.read_text())["tests"]
        for expected in test.get("alert_rule_test", [])
        if expected["exp_alerts"]
    ]

    assert [name for name in alerts if not any(name in text for text in told)] == []


def test_every_alert_says_how_bad_it_is_what_happened_and_where_to_read_what_to_do(alerts: dict[str, Any]) -> None:
    for name, alert in alerts.items():
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"


def test_there_is_a_runbook_for_every_alert_and_for_nothing_else(alerts: dict[str, Any]) -> None:
    headings = re.findall(r"^### (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)

    assert sorted(headings) == sorted(alerts)
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_the_objectives_bounds_leave_alerts_that_can_fire(bound: str) -> None:
    schema = yaml.safe_load((REPO / "charts/regatta/values.schema.json").read_text())
    thresholds = schema["properties"]["monitoring"]["properties"]["rules"]["properties"]["thresholds"]["properties"]

    assert 0 < 5 * (1 - thresholds["goodputObjective"][bound]) < 1
    assert 0 < 14.4 * (1 - thresholds["operatorObjective"][bound]) < 1
