"""Every value of the chart has an effect, and this table says which: a key without a line in it fails."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster.tool import api as tool

CHART: Final = Path(__file__).resolve().parents[3] / "charts" / "regatta"
ELSEWHERE: Final = ("monitoring",)
"""Parts of the values with tests of their own."""
DIGEST: Final = f"sha256:{'a' * 64}"
POLICY: Final = {"networkPolicy.operator.enabled": True}

EFFECTS: Final[Mapping[str, tuple[Any, str]]] = {
    "image.registry": ("mirror.example:5000/ml", '"mirror.example:5000/ml/regatta/runtime:0.1.0"'),
    "image.repository": ("team/op", "image: localhost/team/op:0.1.0"),
    "image.tag": ("9", "image: localhost/regatta/operator:9"),
    "image.digest": (DIGEST, f"image: localhost/regatta/operator@{DIGEST}"),
    "image.pullPolicy": ("Always", "imagePullPolicy: Always"),
    "imagePullSecrets": ([{"name": "mirror"}], "- name: mirror"),
    "runtimeImage.repository": ("team/rt", '"localhost/team/rt:0.1.0"'),
    "runtimeImage.tag": ("9", '"localhost/regatta/runtime:9"'),
    "runtimeImage.digest": (DIGEST, f'"localhost/regatta/runtime@{DIGEST}"'),
    "feedImage.repository": ("team/feed", '"localhost/team/feed:0.1.0"'),
    "feedImage.tag": ("9", '"localhost/regatta/feed:9"'),
    "feedImage.digest": (DIGEST, f'"localhost/regatta/feed@{DIGEST}"'),
    **{
        f"frameworkImages.{framework}.{part}": (value, f"{framework}=localhost/{image}")
        for framework, name in {
            "PyTorch": "pytorch",
            "TensorFlow": "tensorflow",
            "Keras": "keras",
            "Horovod": "horovod",
        }.items()
        for part, value, image in (
            ("repository", "team/own", "team/own:0.1.0"),
            ("tag", "9", f"regatta/{name}:9"),
            ("digest", DIGEST, f"regatta/{name}@{DIGEST}"),
        )
    },
    "prices": ([{"resource": "cpu", "currency": "EUR", "hourly": 0.03}], "cpu=EUR:0.03"),
    "workerImagePullPolicy": ("Always", "REGATTA_OPERATOR_IMAGE_PULL_POLICY, value: Always"),
    "runtime.injection": ("InitContainer", "REGATTA_OPERATOR_INJECTION, value: InitContainer"),
    "clusterWide": (False, "kind: RoleBinding\nmetadata:\n  name: regatta-jobs\n  namespace: team-a"),
    "watchNamespaces": (["team-b"], "namespace: team-b"),
    "jobDefaults.ttlSecondsAfterFinished": (60, r"\"ttlSecondsAfterFinished\":60"),
    "jobDefaults.cleanup": ("All", r"\"cleanup\":\"All\""),
    "jobDefaults.deadlines.queued": (61, r"\"queued\":61"),
    "jobDefaults.deadlines.starting": (None, r"\"starting\":null"),
    "jobDefaults.deadlines.active": (62, r"\"active\":62"),
    "jobDefaults.deadlines.stalled": (63, r"\"stalled\":63"),
    "jobDefaults.gang": ("None", r"\"gang\":\"None\""),
    "jobDefaults.nodeSelector": ({"pool": "training"}, r"\"nodeSelector\":{\"pool\":\"training\"}"),
    "jobDefaults.runtimeClassName": ("sandboxed", r"\"runtimeClassName\":\"sandboxed\""),
    "jobDefaults.imagePullSecrets": (["mirror"], r"\"imagePullSecrets\":[\"mirror\"]"),
    "gpuResources": (
        [{"name": "nvidia.com/mig-1g.10gb", "runtimeClassName": "nvidia"}],
        r"{\"name\":\"nvidia.com/mig-1g.10gb\",\"runtimeClassName\":\"nvidia\"}",
    ),
    "replicas": (3, "replicas: 3"),
    "leaderElection.leaseSeconds": (30, 'REGATTA_OPERATOR_LEASE_SECONDS, value: "30"'),
    "leaderElection.renewSeconds": (9, 'REGATTA_OPERATOR_RENEW_SECONDS, value: "9"'),
    "leaderElection.retrySeconds": (1.5, 'REGATTA_OPERATOR_RETRY_SECONDS, value: "1.5"'),
    "log.level": ("debug", "REGATTA_OPERATOR_LOG_LEVEL, value: debug"),
    "crds.install": (False, "!kind: CustomResourceDefinition"),
    "crds.keep": (False, "!helm.sh/resource-policy: keep"),
    "rbac.create": (False, "!name: regatta-leader"),
    "rbac.aggregate": (False, "!aggregate-to-view"),
    "rbac.metricsReader": (False, "!regatta-metrics-reader"),
    "serviceAccount.create": (False, "!kind: ServiceAccount\nmetadata:\n  name: regatta\n"),
    "serviceAccount.name": ("given", "serviceAccountName: given"),
    "serviceAccount.annotations": ({"role.example/arn": "trainer"}, "role.example/arn: trainer"),
    "resources.requests": ({"cpu": "77m"}, "cpu: 77m"),
    "resources.limits": ({"memory": "777Mi"}, "memory: 777Mi"),
    "metrics.service.enabled": (False, "!kind: Service\n"),
    "metrics.service.annotations": ({"prometheus.io/scrape": "true"}, 'prometheus.io/scrape: "true"'),
    "networkPolicy.metricsFrom": (["observability"], "kubernetes.io/metadata.name: observability"),
    "networkPolicy.operator.enabled": (True, "kind: NetworkPolicy"),
    "networkPolicy.operator.apiServerPorts": ([7443], "port: 7443"),
    "networkPolicy.operator.apiServerCIDRs": (["10.9.8.7/32"], 'cidr: "10.9.8.7/32"'),
    "networkPolicy.jobs.enabled": (True, "resources: [networkpolicies]"),
    "networkPolicy.jobs.egress": ("Crew", 'REGATTA_OPERATOR_JOB_EGRESS, value: "false"'),
    "podDisruptionBudget.enabled": (False, "!kind: PodDisruptionBudget"),
    "topologySpreadConstraints": ([{"topologyKey": "rack", "maxSkew": 1}], "topologyKey: rack"),
    "affinity": ({"nodeAffinity": {}}, "nodeAffinity: {}"),
    "nodeSelector": ({"pool": "system"}, "pool: system"),
    "tolerations": ([{"key": "system"}], "- key: system"),
    "priorityClassName": ("system-cluster-critical", "priorityClassName: system-cluster-critical"),
    "runtimeClassName": ("gvisor", "runtimeClassName: gvisor"),
    "hostUsers": (False, "hostUsers: false"),
    "runAsUser": (None, "!runAsUser: "),
    "runAsGroup": (1234, "fsGroup: 1234"),
    "preStopSeconds": (0, "!preStop"),
    "stopSeconds": (7, 'REGATTA_OPERATOR_STOP_SECONDS, value: "7"'),
    "terminationGracePeriodSeconds": (99, "terminationGracePeriodSeconds: 99"),
    "extraArgs": (["--parallel-writes=7"], "- --parallel-writes=7"),
    "extraEnv": ([{"name": "HTTPS_PROXY", "value": "http://proxy"}], "- name: HTTPS_PROXY"),
    "extraVolumes": ([{"name": "trust", "configMap": {"name": "trust"}}], "name: trust"),
    "extraVolumeMounts": ([{"name": "trust", "mountPath": "/trust"}], "mountPath: /trust"),
    "commonLabels": ({"team": "platform"}, "team: platform"),
    "commonAnnotations": ({"owner": "platform"}, "owner: platform"),
    "podAnnotations": ({"sidecar.example/inject": "false"}, 'sidecar.example/inject: "false"'),
    "podLabels": ({"tier": "control"}, "tier: control"),
    "extraObjects": (
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
        "name: 'regatta-more'",
    ),
    "test.enabled": (False, "!helm.sh/hook"),
    "test.timeoutSeconds": (77, "--timeout=77"),
    "nameOverride": ("boats", "name: regatta-boats-leader"),
    "fullnameOverride": ("boats", "name: boats-leader"),
}
"""What to set a value to, and what the chart then says that it did not before; with "!", what it no longer says."""
BESIDE: Final[Mapping[str, Mapping[str, Any]]] = {
    "clusterWide": {"watchNamespaces": ["team-a"]},
    "watchNamespaces": {"clusterWide": False},
    "serviceAccount.create": {"serviceAccount.name": "regatta"},
    "networkPolicy.metricsFrom": POLICY,
    "networkPolicy.operator.apiServerPorts": POLICY,
    "networkPolicy.operator.apiServerCIDRs": POLICY,
}
"""Values without which another one means nothing, or is refused."""


def template(values: Mapping[str, Any]) -> str:
    settings = [x for key, value in values.items() for x in ("--set-json", f"{key}={json.dumps(value)}")]
    done = subprocess.run(
        [str(tool.helm_path()), "template", "regatta", str(CHART), "-n", "regatta-system", *settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    """What was rendered, in an order of its own: Helm 3 and 4 have different ones."""
    found = [document for document in yaml.safe_load_all(text) if document]
    return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        below = f"{path}{key}"
        if isinstance(value, Mapping) and value and path + key not in EFFECTS:
            yield from leaves(value, f"{below}.")
        else:
            yield below


@pytest.fixture(scope="module")
def defaults() -> str:
    return template({})


def test_every_value_has_a_line_in_the_table() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert {path for path in leaves(values) if not path.startswith(ELSEWHERE)} == set(EFFECTS)


@pytest.mark.parametrize("path", EFFECTS)
def test_a_value_does_what_it_says(path: str, defaults: str) -> None:
    value, expected = EFFECTS[path]
    beside = BESIDE.get(path, {})
    before = defaults
    after = template({**beside, path: value})
    needle = expected.removeprefix("!")
    there, gone = (before, after) if expected.startswith("!") else (after, before)

    assert needle in there
    assert needle not in gone
    assert all(document is None or document["kind"] for document in yaml.safe_load_all(after))


def test_one_value_moves_every_image() -> None:
    text = template({"image.registry": "mirror.example:5000/ml"})

    assert "mirror.example:5000/ml/regatta/operator:0.1.0" in text
    assert "localhost" not in text


def test_common_labels_and_annotations_are_on_everything() -> None:
    text = template({"commonLabels": {"team": "platform"}, "commonAnnotations": {"owner": "platform"}, **POLICY})
    documents = [document for document in yaml.safe_load_all(text) if document]

    bare = [d["kind"] for d in documents if d["metadata"].get("labels", {}).get("team") != "platform"]
    unsaid = [d["kind"] for d in documents if d["metadata"].get("annotations", {}).get("owner") != "platform"]
    assert (bare, unsaid) == ([], [])


def test_common_labels_never_change_what_is_selected_by() -> None:
    text = template({"commonLabels": {"app.kubernetes.io/name": "mine", "team": "platform"}})
    (deployment,) = [d for d in yaml.safe_load_all(text) if d and d["kind"] == "Deployment"]

    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert "team" not in selector


def test_memory_is_limited_to_what_is_requested(defaults: str) -> None:
    (deployment,) = [d for d in yaml.safe_load_all(defaults) if d and d["kind"] == "Deployment"]
    resources = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]

    assert resources["limits"] == {"memory": resources["requests"]["memory"]}


def test_a_single_replica_has_no_disruption_budget_that_would_block_drains() -> None:
    assert "PodDisruptionBudget" not in template({"replicas": 1})


def test_helm_3_makes_the_same_of_it(defaults: str) -> None:
    done = subprocess.run(
        [
            str(tool.helm3_path()),
            *("template", "regatta", str(CHART), "-n", "regatta-system", "--kube-version", "1.37.2"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert documents(done.stdout) == documents(defaults)


def test_no_schema_lets_an_unknown_key_pass() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def open_objects(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            if "properties" in node and "additionalProperties" not in node and "required" not in node:
                yield path
            for key, value in node.items():
                yield from open_objects(value, f"{path}.{key}")

    assert list(open_objects(schema["properties"], "")) == []


def test_the_readme_is_what_helm_docs_makes_of_the_values() -> None:
    done = subprocess.run(
        [str(tool.helm_docs_path()), "--chart-search-root", str(CHART), "--dry-run", "--log-level", "error"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (CHART / "README.md").read_text().strip(), "run `make chart-docs`"
