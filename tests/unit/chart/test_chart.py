"""What the chart installs: the generated CRD, no right the operator does not use, a pod for the restricted standard."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from regatta.control.settings import ENVIRONMENT_PREFIX, parse
from tests.cluster.tool import api as tool

REPO = Path(__file__).resolve().parents[3]
CHART = REPO / "charts" / "regatta"
GENERATED_CRD = REPO / "crds" / "regatta.dev_trainingjobs.yaml"


AS_OF = ("--kube-version", "1.37.2")
"""Without a cluster, Helm takes a version for granted, and Helm 3 one that is long gone."""


def helm(*arguments: str, program: Callable[[], Path] = tool.helm_path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program()), *arguments], capture_output=True, text=True, check=False)


def rendered(**values: Any) -> list[dict[str, Any]]:
    settings = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    done = helm(
        "template", "regatta", str(CHART), "-n", "regatta-system", *(x for s in settings for x in ("--set-json", s))
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def only(documents: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    [found] = [d for d in documents if d["kind"] == kind and name in d["metadata"]["name"]]
    return found


def granted(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (f"{group}/{resource}".removeprefix("/"), verb)
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(scope="module")
def defaults() -> list[dict[str, Any]]:
    return rendered()


@pytest.mark.parametrize("program", [tool.helm_path, tool.helm3_path], ids=["helm4", "helm3"])
def test_it_lints_strictly(program: Callable[[], Path]) -> None:
    done = helm("lint", "--strict", str(CHART), program=program)

    assert done.returncode == 0, done.stdout + done.stderr


def test_its_crd_is_the_generated_one_and_survives_an_uninstall(defaults: list[dict[str, Any]]) -> None:
    crd = only(defaults, "CustomResourceDefinition")

    assert crd["metadata"]["annotations"].pop("helm.sh/resource-policy") == "keep"
    assert crd == yaml.safe_load(GENERATED_CRD.read_text())


def test_the_crd_can_be_left_to_others() -> None:
    kinds = {document["kind"] for document in rendered(**{"crds.install": False})}

    assert "CustomResourceDefinition" not in kinds


def test_the_operator_has_the_rights_its_code_uses_and_no_other(defaults: list[dict[str, Any]]) -> None:
    jobs = only(defaults, "ClusterRole", "regatta-jobs")
    assert [d["metadata"]["name"] for d in defaults if d["kind"] == "ClusterRoleBinding"] == ["regatta-jobs"]
    leader = only(defaults, "Role", "regatta-leader")

    assert granted(jobs) == {
        *(("regatta.dev/trainingjobs", verb) for verb in ("get", "list", "watch", "delete")),
        *(("scheduling.k8s.io/podgroups", verb) for verb in ("get", "create", "delete")),
        ("regatta.dev/trainingjobs/status", "patch"),
        ("regatta.dev/trainingjobs/finalizers", "update"),
        *(("pods", verb) for verb in ("get", "list", "watch", "create", "delete")),
        *((plural, verb) for plural in ("services", "configmaps") for verb in ("get", "create")),
        *(("events.k8s.io/events", verb) for verb in ("create", "patch")),
        ("events", "list"),
    }
    assert granted(leader) == {("coordination.k8s.io/leases", verb) for verb in ("create", "get", "update")}


def test_namespaces_by_name_need_no_right_in_the_whole_cluster() -> None:
    documents = rendered(clusterWide=False, watchNamespaces=["team-a", "team-b"])

    bound = {(d["metadata"]["namespace"], d["roleRef"]["name"]) for d in documents if d["kind"] == "RoleBinding"}
    assert not [d for d in documents if d["kind"] == "ClusterRoleBinding"]
    assert bound == {
        ("team-a", "regatta-jobs"),
        ("team-b", "regatta-jobs"),
        ("regatta-system", "regatta-leader"),
        ("team-a", "regatta-test"),
    }


def test_the_pod_meets_the_restricted_standard(defaults: list[dict[str, Any]]) -> None:
    pod = only(defaults, "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= set(container["resources"])
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        pytest.param({}, "localhost/regatta/operator:0.1.0", id="the chart's own version"),
        pytest.param({"registry": "r.example:5000/team"}, "r.example:5000/team/regatta/operator:0.1.0", id="registry"),
        pytest.param({"registry": "", "repository": "r.example/op", "tag": "2"}, "r.example/op:2", id="full name"),
        pytest.param(
            {"registry": "", "repository": "op", "tag": "2", "digest": f"sha256:{'a' * 64}"},
            f"op@sha256:{'a' * 64}",
            id="a digest wins over a tag",
        ),
    ],
)
def test_images_are_named_by_registry_repository_tag_and_digest(image: dict[str, str], reference: str) -> None:
    documents = rendered(**{f"image.{key}": value for key, value in image.items()})

    assert only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"] == reference


def test_the_operator_understands_the_environment_it_is_given(defaults: list[dict[str, Any]]) -> None:
    [container] = only(defaults, "Deployment")["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value", "pod") for variable in container["env"]}

    settings = parse([], environment=environment)

    unknown = {name for name in environment if name.startswith(ENVIRONMENT_PREFIX)} - {
        ENVIRONMENT_PREFIX + field.name.upper() for field in dataclasses.fields(settings)
    }
    assert unknown == set()
    assert settings.runtime_image == "localhost/regatta/runtime:0.1.0"
    assert settings.framework_images == {
        "Horovod": "localhost/regatta/horovod:0.1.0",
        "PyTorch": "localhost/regatta/pytorch:0.1.0",
        "TensorFlow": "localhost/regatta/tensorflow:0.1.0",
        "Keras": "localhost/regatta/keras:0.1.0",
    }
    assert settings.port == container["ports"][0]["containerPort"]
    assert settings.lease_name == only(defaults, "Role", "regatta-leader")["rules"][1]["resourceNames"][0]


def test_the_operator_is_told_the_prices() -> None:
    prices = [
        {"resource": "nvidia.com/gpu", "currency": "EUR", "hourly": 2.5},
        {"resource": "cpu", "currency": "USD", "hourly": 1000000},
        {"resource": "memory", "currency": "USD", "hourly": 0.00001},
    ]
    [container] = only(rendered(prices=prices), "Deployment")["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value", "pod") for variable in container["env"]}

    settings = parse([], environment=environment)

    assert [dataclasses.asdict(price) for price in settings.prices] == prices


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param({"replica": 1}, "additional properties 'replica' not allowed", id="a value that does not exist"),
        pytest.param({"jobDefaults.cleanUp": "All"}, "'cleanUp' not allowed", id="a misspelt default of jobs"),
        pytest.param({"networkPolicy.jobs.enable": True}, "'enable' not allowed", id="a misspelt switch, deep down"),
        pytest.param({"replicas": "two"}, "replicas", id="a wrong type"),
        pytest.param({"crds.install": "false"}, "install", id="a text for a switch"),
        pytest.param({"runtime.injection": "Magic"}, "injection", id="an unknown way of injection"),
        pytest.param({"jobDefaults.gang": "Volcano"}, "gang", id="an unknown gang scheduler"),
        pytest.param({"watchNamespaces": ["Not A Name"]}, "watchNamespaces", id="a namespace that cannot be"),
        pytest.param({"image.digest": "latest"}, "digest", id="a digest that is none"),
        pytest.param({"prices": [{"resource": "cpu", "hourly": 1}]}, "currency", id="a price in no currency"),
        pytest.param({"gpuResources": []}, "gpuResources", id="no kind of GPU"),
        pytest.param({"gpuResources": [{"name": "gpu"}]}, "gpuResources", id="no extended resource"),
        pytest.param({"extraArgs": ["-v"]}, "extraArgs", id="no long flag"),
        pytest.param({"clusterWide": False}, "name the namespaces", id="namespaces alone, and none of them"),
        pytest.param({"watchNamespaces": ["a"]}, "clusterWide=false", id="all namespaces, and one of them"),
        pytest.param({"stopSeconds": 30}, "terminationGracePeriodSeconds is 30", id="more to do than time"),
        pytest.param({"leaderElection.renewSeconds": 15}, "two replicas could lead", id="a lease too short"),
        pytest.param({"serviceAccount.create": False}, "serviceAccount.name must name", id="no account at all"),
        pytest.param(
            {"gpuResources": [{"name": "a.b/c"}, {"name": "a.b/c"}]}, "names a.b/c twice", id="one GPU, two classes"
        ),
        pytest.param(
            {"extraEnv": [{"name": "REGATTA_OPERATOR_PORT", "value": "1"}]}, "set by the chart", id="set twice"
        ),
        pytest.param(
            {"podLabels": {"app.kubernetes.io/name": "x"}}, "finds its pods by", id="a label that pods are found by"
        ),
    ],
)
@pytest.mark.parametrize("program", [tool.helm_path, tool.helm3_path], ids=["helm4", "helm3"])
def test_wrong_values_are_refused_by_name(values: dict[str, Any], complaint: str, program: Callable[[], Path]) -> None:
    settings = [x for key, value in values.items() for x in ("--set-json", f"{key}={json.dumps(value)}")]
    done = helm("template", "regatta", str(CHART), *AS_OF, *settings, program=program)

    assert done.returncode != 0
    assert complaint in done.stderr


def test_an_older_kubernetes_is_refused() -> None:
    done = helm("template", "regatta", str(CHART), "--kube-version", "1.32.9")

    assert done.returncode != 0
    assert "requires kubeVersion: >=1.33.0-0" in done.stderr


def test_there_is_no_webhook_and_no_hook_but_helm_test(defaults: list[dict[str, Any]]) -> None:
    hooks = {document["metadata"].get("annotations", {}).get("helm.sh/hook") for document in defaults}

    assert hooks == {None, "test"}
    assert [document["kind"] for document in defaults if "Webhook" in document["kind"]] == []


def test_nothing_in_the_operators_pod_needs_a_shell(defaults: list[dict[str, Any]]) -> None:
    [container] = only(defaults, "Deployment")["spec"]["template"]["spec"]["containers"]

    assert "command" not in container
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 1}}}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"


def test_a_replica_is_ready_when_its_caches_are_and_alive_while_its_watches_are(
    defaults: list[dict[str, Any]],
) -> None:
    [container] = only(defaults, "Deployment")["spec"]["template"]["spec"]["containers"]

    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_replicas_are_spread_and_drained_one_by_one(defaults: list[dict[str, Any]]) -> None:
    deployment = only(defaults, "Deployment")["spec"]
    budget = only(defaults, "PodDisruptionBudget")["spec"]

    spread = [each["topologyKey"] for each in deployment["template"]["spec"]["topologySpreadConstraints"]]
    assert spread == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]
    assert deployment["replicas"] == 2


def test_the_account_hands_its_token_to_the_operator_alone(defaults: list[dict[str, Any]]) -> None:
    assert only(defaults, "Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    for account in (document for document in defaults if document["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_the_pod_of_helm_test_meets_the_restricted_standard_and_may_little(defaults: list[dict[str, Any]]) -> None:
    pod = only(defaults, "Pod", "regatta-test")["spec"]
    [container] = pod["containers"]

    assert container["image"] == "localhost/regatta/operator:0.1.0"
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert granted(only(defaults, "Role", "regatta-test")) == {
        *(("regatta.dev/trainingjobs", verb) for verb in ("create", "get", "delete")),
        ("pods", "list"),
    }


def test_the_operators_policy_lets_in_metrics_and_out_what_it_calls() -> None:
    documents = rendered(**{"networkPolicy.operator.enabled": True, "networkPolicy.metricsFrom": ["watchtower"]})
    policy = only(documents, "NetworkPolicy")["spec"]
    labels = only(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    test_labels = only(documents, "Pod", "regatta-test")["metadata"]["labels"]

    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert not policy["podSelector"]["matchLabels"].items() <= test_labels.items()
    tester, watchtower = policy["ingress"][0]["from"]
    assert tester["podSelector"]["matchLabels"].items() <= test_labels.items()
    assert watchtower == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "watchtower"}}}
    ports = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    assert ports == [443, 6443, 53, 53, 9464]


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        pytest.param({}, ["rollout status deployment/regatta", "helm test regatta", "get tj -w"], id="as it comes"),
        pytest.param({"test.enabled": False}, ["rollout", "logs deployment/regatta", "get tj -w"], id="without a test"),
    ],
)
def test_notes_show_the_next_three_commands(values: dict[str, Any], lines: list[str], tmp_path: Path) -> None:
    settings = [x for key, value in values.items() for x in ("--set-json", f"{key}={json.dumps(value)}")]
    nowhere = ("--dry-run=client", "-n", "regatta-system", "--kubeconfig", str(tmp_path / "none"))
    done = helm("install", "regatta", str(CHART), *nowhere, *settings)

    notes = done.stdout.partition("NOTES:")[2]
    steps = [line for line in notes.splitlines() if line.startswith(("1. ", "2. ", "3. "))]
    assert len(steps) == 3, done.stderr
    for words in lines:
        assert words in notes
