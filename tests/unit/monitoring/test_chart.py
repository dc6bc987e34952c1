"""What the chart makes for Prometheus and Grafana, and what it says where it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kit.release import CHART
from tests.monitoring import rules
from tests.monitoring.rules import KINDS


def made(values: dict[str, Any] | None = None, **options: Any) -> dict[str, dict[str, Any]]:
    done = rules.chart(values, **options)
    assert done.returncode == 0, done.stderr
    return {d["kind"]: d for d in yaml.safe_load_all(done.stdout) if d and d["kind"] in {*KINDS, "ConfigMap"}}


def test_nothing_is_made_unless_asked_for() -> None:
    assert made({"monitoring.enabled": False}, kinds=()) == {}


@pytest.mark.parametrize(
    ("kind", "value"), [("ServiceMonitor", "serviceMonitor"), ("PodMonitor", "podMonitor"), ("PrometheusRule", "rules")]
)
def test_a_kind_that_the_cluster_lacks_stops_the_installation_with_the_way_out(kind: str, value: str) -> None:
    served = tuple(each for each in KINDS if each != kind)

    refused = rules.chart(kinds=served)

    assert refused.returncode != 0
    assert f"does not serve monitoring.coreos.com/v1/{kind}" in refused.stderr
    assert f"--set monitoring.{value}.enabled=false" in refused.stderr
    assert set(made({f"monitoring.{value}.enabled": False}, kinds=served)) >= set(served)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param({"monitoring.podMonitor.sampleLimits": 5}, "sampleLimits", id="a value that does not exist"),
        pytest.param({"monitoring.podMonitor.sampleLimit": 0}, "sampleLimit", id="no limit"),
        pytest.param({"monitoring.podMonitor.sampleLimit": None}, "sampleLimit", id="a limit taken away"),
        pytest.param({"monitoring.podMonitor.interval": "often"}, "interval", id="a duration that is none"),
        pytest.param({"monitoring.rules.thresholds.goodputObjective": 0.5}, "goodputObjective", id="no objective"),
        pytest.param({"monitoring.rules.disabled": ["RegattaDown"]}, "no alert of this chart", id="an unknown alert"),
        pytest.param({"metrics.service.enabled": False}, "metrics.service.enabled=true", id="no Service to scrape"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], complaint: str) -> None:
    refused = rules.chart(values)

    assert refused.returncode != 0
    assert complaint in refused.stderr


def test_the_operator_is_read_twice_and_its_series_keep_the_namespaces_of_jobs() -> None:
    endpoints = made()["ServiceMonitor"]["spec"]["endpoints"]

    assert [(e["path"], e["interval"], e["honorLabels"]) for e in endpoints] == [
        ("/metrics", "30s", True),
        ("/metrics/jobs", "60s", True),
    ]


def test_what_a_pod_answers_is_limited_and_cannot_speak_for_others() -> None:
    spec = made()["PodMonitor"]["spec"]

    assert {"sampleLimit", "labelLimit", "labelNameLengthLimit", "labelValueLengthLimit", "bodySizeLimit"} <= set(spec)
    assert [endpoint["port"] for endpoint in spec["podMetricsEndpoints"]] == ["metrics", "feed-metrics"]
    for endpoint in spec["podMetricsEndpoints"]:
        assert not endpoint["honorLabels"]
        assert not endpoint["honorTimestamps"]
        assert not endpoint["followRedirects"]
        assert {rule["targetLabel"] for rule in endpoint["relabelings"]} == {"trainingjob", "worker"}


def test_pods_are_looked_for_where_jobs_may_be() -> None:
    everywhere = made()["PodMonitor"]["spec"]["namespaceSelector"]
    # Whatever else an installation for some namespaces needs is said by the chart itself.
    values = {"watchNamespaces": ["team-a", "team-b"]} | (
        {"clusterWide": False} if "clusterWide" in (CHART / "values.yaml").read_text() else {}
    )
    some = made(values)["PodMonitor"]["spec"]["namespaceSelector"]

    assert everywhere == {"any": True}
    assert some == {"matchNames": ["team-a", "team-b"]}


def test_labels_by_which_prometheus_selects_are_on_all_of_it_and_replace_none_of_ours() -> None:
    wanted = {"release": "kps", "app.kubernetes.io/name": "theirs"}

    found = made({"monitoring.labels": wanted})

    for kind in KINDS:
        labels = found[kind]["metadata"]["labels"]
        assert (labels["release"], labels["app.kubernetes.io/name"]) == ("kps", "regatta")


def test_alerts_can_be_left_out_labelled_and_linked_to_runbooks_elsewhere() -> None:
    groups = rules.groups(
        {
            "monitoring.rules.disabled": ["RegattaOverRequested"],
            "monitoring.rules.labels": {"team": "ml"},
            "monitoring.rules.runbookURL": "https://wiki.example/regatta",
            "monitoring.rules.interval": "1m",
        }
    )

    alerts = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    assert "RegattaOverRequested" not in alerts
    assert alerts["RegattaNoLeader"]["labels"] == {"severity": "critical", "team": "ml"}
    assert alerts["RegattaNoLeader"]["annotations"]["runbook_url"] == "https://wiki.example/regatta#regattanoleader"
    assert {group["interval"] for group in groups} == {"1m"}


def test_every_dashboard_becomes_a_config_map_that_grafanas_sidecar_finds_and_files(tmp_path: Path) -> None:
    # Braces, as in legends of Grafana, are no templates.
    text = json.dumps({"title": "Any", "legend": "{{rank}}"})
    copy = tmp_path / "regatta"
    shutil.copytree(CHART, copy)
    (copy / "dashboards").mkdir(exist_ok=True)
    for old in (copy / "dashboards").glob("*.json"):
        old.unlink()
    (copy / "dashboards" / "any.json").write_text(text)
    found = made(folder=copy)["ConfigMap"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Regatta"}
    assert found["data"] == {"any.json": text}


def test_no_dashboard_is_too_large_for_a_config_map() -> None:
    assert all(file.stat().st_size < 1_000_000 for file in (CHART / "dashboards").glob("*.json"))


def leaves(values: dict[str, Any], path: str = "monitoring") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key != "labels":
            yield from leaves(value, f"{path}.{key}")
        else:
            yield f"{path}.{key}", value


def another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 7
        case float():
            return value * 0.99
        case dict():
            return {"some": "thing"}
        case list():
            return ["RegattaStraggler"]
        case "1MB":
            return "2MB"
    return "7m" if value == "" or value[0].isdigit() else "elsewhere"


OURS = dict(leaves(yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]))
"""All values of monitoring, with their defaults."""
del OURS["monitoring.enabled"]


@pytest.fixture(scope="module")
def charted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], str]:
    """Render the chart with one dashboard in it."""
    copy = tmp_path_factory.mktemp("charts") / "regatta"
    shutil.copytree(CHART, copy)
    (copy / "dashboards").mkdir(exist_ok=True)
    (copy / "dashboards" / "any.json").write_text("{}")

    def render(values: dict[str, Any]) -> str:
        done = rules.chart(values, folder=copy)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return render


@pytest.mark.parametrize("path", OURS)
def test_every_value_has_an_effect(path: str, charted: Callable[[dict[str, Any]], str]) -> None:
    assert charted({path: another(OURS[path])}) != charted({})
