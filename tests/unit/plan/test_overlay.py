"""A podTemplate merges as Kubernetes merges, so what a user adds never takes away what they did not name."""

from __future__ import annotations

from typing import Any

import pytest

from regatta.plan.pods.overlay import merge

BASE: dict[str, Any] = {
    "restartPolicy": "Never",
    "securityContext": {"runAsNonRoot": True, "fsGroup": 1000},
    "tolerations": [{"key": "gpu"}],
    "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
    "containers": [
        {
            "name": "trainer",
            "image": "a",
            "env": [{"name": "X", "value": "1"}],
            "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],
        }
    ],
}


@pytest.mark.parametrize(
    ("overlay", "path", "expected"),
    [
        pytest.param({"restartPolicy": "Always"}, ["restartPolicy"], "Always", id="a value replaces"),
        pytest.param(
            {"securityContext": {"fsGroup": 5}},
            ["securityContext"],
            {"runAsNonRoot": True, "fsGroup": 5},
            id="a map merges",
        ),
        pytest.param({"restartPolicy": None}, ["restartPolicy"], None, id="null removes"),
        pytest.param({"tolerations": [{"key": "b"}]}, ["tolerations"], [{"key": "b"}], id="a plain list replaces"),
        pytest.param(
            {"containers": [{"name": "trainer", "env": [{"name": "Y", "value": "2"}]}]},
            ["containers", 0, "env"],
            [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
            id="a variable is added",
        ),
        pytest.param(
            {"containers": [{"name": "trainer", "env": [{"name": "X", "valueFrom": {"fieldRef": {}}}]}]},
            ["containers", 0, "env"],
            [{"name": "X", "valueFrom": {"fieldRef": {}}}],
            id="a variable of another kind replaces",
        ),
        pytest.param(
            {"containers": [{"name": "log", "image": "l"}]},
            ["containers", 1],
            {"name": "log", "image": "l"},
            id="another container is added",
        ),
        pytest.param(
            {"volumes": [{"name": "dshm", "hostPath": {"path": "/x"}}]},
            ["volumes"],
            [{"name": "dshm", "hostPath": {"path": "/x"}}],
            id="a volume of another kind replaces",
        ),
        pytest.param({"volumes": [{"name": "dshm", "$patch": "delete"}]}, ["volumes"], [], id="an element is deleted"),
        pytest.param(
            {"securityContext": {"$patch": "replace", "fsGroup": 7}},
            ["securityContext"],
            {"fsGroup": 7},
            id="a map is replaced",
        ),
    ],
)
def test_an_overlay_merges_by_kubernetes_own_rules(overlay: dict[str, Any], path: list[Any], expected: Any) -> None:
    result: Any = merge(BASE, overlay)
    for step in path:
        result = result[step] if not isinstance(result, dict) else result.get(step)
    assert result == expected


def test_nothing_is_changed_in_place() -> None:
    before = repr(BASE)
    merge(BASE, {"containers": [{"name": "trainer", "env": [{"name": "Y", "value": "2"}]}], "volumes": []})
    assert repr(BASE) == before


def test_an_empty_overlay_changes_nothing() -> None:
    assert merge(BASE, {}) == BASE
