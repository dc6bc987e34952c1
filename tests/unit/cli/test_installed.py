"""What `version` tells of a cluster, and what `render --from-cluster` learns from it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

import regatta
from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.installed import installed_settings, operators, version_lines

DEPLOYMENT = {
    "metadata": {
        "name": "regatta",
        "namespace": "regatta-system",
        "labels": {"app.kubernetes.io/version": "0.1.0"},
    },
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {
                        "image": "hub.example/regatta/operator:0.1.0",
                        "env": [
                            {
                                "name": "REGATTA_OPERATOR_RUNTIME_IMAGE",
                                "value": "hub.example/regatta/runtime:0.1.0",
                            },
                            {"name": "REGATTA_OPERATOR_FRAMEWORK_IMAGES", "value": "PyTorch=hub.example/torch:1"},
                            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        ],
                    }
                ]
            }
        },
    },
    "status": {"readyReplicas": 1},
}
CRD = {
    "metadata": {"annotations": {"app.kubernetes.io/version": regatta.__version__}},
    "spec": {"versions": [{"name": "v1alpha1", "served": True}]},
}


class Answers:
    """A cluster that knows these paths; others are what it says they are."""

    namespace = "default"

    def __init__(self, deployments: Any = (DEPLOYMENT,), crd: Any = CRD, minor: str = "37") -> None:
        self._answers = {
            "/version": {"gitVersion": f"v1.{minor}.2", "major": "1", "minor": minor},
            "deployments": deployments if isinstance(deployments, Exception) else {"items": list(deployments)},
            "customresourcedefinitions": crd,
            "/apis/scheduling.k8s.io/v1beta1": {"resources": [{"name": "podgroups"}]},
        }

    def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Any:
        answer = next(answer for part, answer in self._answers.items() if part in path)
        if isinstance(answer, Exception):
            raise answer
        return answer


def versions(cluster: Any) -> dict[str, str]:
    return dict(version_lines(cluster))


def test_versions_of_everything_installed() -> None:
    lines = versions(Answers())

    assert lines["Kubernetes"] == "v1.37.2"
    assert lines["CRD"] == f"{regatta.__version__} (serves v1alpha1)"
    assert lines["Operator"].startswith("0.1.0 (regatta-system/regatta, hub.example/regatta/operator:0.1.0")
    assert lines["Operator"].endswith("1 of 2 ready)")


def test_a_crd_of_another_version_is_pointed_out() -> None:
    older = {**CRD, "metadata": {"annotations": {"app.kubernetes.io/version": "0.0.1"}}}

    assert "this command knows" in versions(Answers(crd=older))["CRD"]


def test_what_is_missing_or_forbidden_is_said() -> None:
    bare = versions(Answers(deployments=(), crd=NotFoundError("no")))
    closed = versions(Answers(deployments=ClusterError("not allowed"), crd=ClusterError("not allowed")))

    assert "not installed" in bare["CRD"]
    assert "not installed" in bare["Operator"]
    assert "not allowed" in closed["CRD"]
    assert "not allowed" in closed["Operator"]


def test_settings_are_read_from_the_operator_itself() -> None:
    installation: Any = installed_settings(Answers())  # type: ignore[arg-type]

    assert installation.runtime_image == "hub.example/regatta/runtime:0.1.0"
    assert installation.framework_images == {"PyTorch": "hub.example/torch:1"}
    assert installation.image_volumes is True
    assert installation.native_gang is True
    assert installed_settings(Answers(minor="33")).image_volumes is False  # type: ignore[arg-type]


def test_its_defaults_for_jobs_are_read_too() -> None:
    changed = copy.deepcopy(DEPLOYMENT)
    environment = changed["spec"]["template"]["spec"]["containers"][0]["env"]
    environment += [
        {"name": "REGATTA_OPERATOR_JOB_DEFAULTS", "value": '{"gpuResources": [{"name": "amd.com/gpu"}]}'},
        {"name": "REGATTA_OPERATOR_JOB_FENCE", "value": "true"},
    ]

    installation: Any = installed_settings(Answers(deployments=(changed,)))  # type: ignore[arg-type]

    assert installation.defaults.gpu_resources[0].name == "amd.com/gpu"
    assert installation.fence.operator_namespace == "regatta-system"


def test_settings_of_two_operators_are_nobodys() -> None:
    with pytest.raises(ClusterError, match="not one operator but 2"):
        installed_settings(Answers(deployments=(DEPLOYMENT, DEPLOYMENT)))  # type: ignore[arg-type]


def test_a_deployment_of_foreign_making_is_read_without_harm() -> None:
    strange = {"metadata": {"name": "x\x1b[2J", "namespace": "y"}, "spec": {"template": {"spec": {}}}}

    (operator,) = operators(Answers(deployments=(strange,)))  # type: ignore[arg-type]
    assert (operator.name, operator.version, operator.desired) == ("x", "unknown", 0)
