"""A job's NetworkPolicy, where the installation wants one: who is let in, and what is left open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from regatta.plan.model import Fence, Observed
from regatta.plan.plan import plan
from tests.builders import INSTALLATION, NOW, UID, job

FENCE = Fence(operator_namespace="regatta-system", metrics_from=("monitoring",), egress=False)
CREW = {"podSelector": {"matchLabels": {"regatta.dev/job": "job-a", "app.kubernetes.io/managed-by": "regatta"}}}


def creates(fence: Fence | None) -> list[Any]:
    installation = replace(INSTALLATION, fence=fence)
    return list(plan(job().obj(), Observed(installation=installation), NOW).creates)


def policy(fence: Fence = FENCE) -> Any:
    return creates(fence)[0].body


def test_none_is_made_where_none_is_wanted() -> None:
    assert "NetworkPolicy" not in {each.kind for each in creates(None)}


def test_it_is_there_before_the_pods_and_goes_with_the_job() -> None:
    assert creates(FENCE)[0].kind == "NetworkPolicy"
    assert policy()["metadata"]["ownerReferences"][0]["uid"] == UID


def test_it_selects_the_pods_of_the_job_and_no_others() -> None:
    wanted = policy()["spec"]["podSelector"]["matchLabels"]
    pods = [each.body["metadata"]["labels"] for each in creates(FENCE) if each.kind == "Pod"]

    assert len(pods) == 2
    assert all(wanted.items() <= labels.items() for labels in pods)
    assert wanted["regatta.dev/job"] == "job-a"


def test_the_crew_may_reach_itself_on_every_port() -> None:
    assert policy()["spec"]["ingress"][0] == {"from": [CREW]}


def test_the_operator_and_whoever_collects_metrics_reach_one_port() -> None:
    readers = policy()["spec"]["ingress"][1]

    assert readers["ports"] == [{"protocol": "TCP", "port": 9464}]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in readers["from"]] == [
        {"kubernetes.io/metadata.name": "regatta-system"},
        {"kubernetes.io/metadata.name": "monitoring"},
    ]
    (component,) = readers["from"][0]["podSelector"]["matchExpressions"]
    assert component["values"] == ["operator", "test"]


def test_closed_it_lets_out_only_to_the_crew_and_to_dns() -> None:
    spec = policy()["spec"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"][0] == {"to": [CREW]}
    assert {port["port"] for port in spec["egress"][1]["ports"]} == {53}


def test_open_it_says_nothing_of_the_way_out() -> None:
    spec = policy(replace(FENCE, egress=True))["spec"]

    assert spec["policyTypes"] == ["Ingress"]
    assert "egress" not in spec
