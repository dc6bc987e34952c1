"""Installations come, change and go, and jobs do not notice: the chart under Helm, on the real cluster.

The first tests look at the session's installation; then others take it away, and the file's end puts it back.
"""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests import sbom
from tests.cluster.conftest import LEASE, namespace
from tests.cluster.kit import Helm, HelmError, Installation, Playground, audit, job, release, wait_for
from tests.cluster.tool import api as tool
from tests.cluster.tool import external

pytestmark = pytest.mark.cluster

PREVIOUS: Final = Path(__file__).parent / "charts" / "regatta-0.0.9.tgz"
"""The chart before these tests were; see the note beside it. No version has been released yet."""
NEWER: Final = frozenset({"jobDefaults", "feedImage"})
"""Values that it does not know."""
CRD: Final = "trainingjobs.regatta.dev"
TRAINS: Final = ("python3", "-c", "import os; print('rank', os.environ['RANK'])")
SLEEPS: Final = ("python3", "-c", "import time; time.sleep(3600)")
MIRROR: Final = "mirror.invalid/ml"
"""A registry that is not there: an image that is pulled from anywhere but the nodes' own store is not found."""
WAIT: Final = ("--wait", "--timeout", "2m")
OURS: Final = ("--take-ownership", "--force-conflicts", *WAIT)


@pytest.fixture(scope="module")
def images(cluster: tool.Cluster) -> Mapping[str, tool.Image]:
    return tool.ensure_images(cluster)


@pytest.fixture(scope="module")
def helm(cluster: tool.Cluster) -> Helm:
    return Helm(cluster, release.NAMESPACE)


@pytest.fixture(scope="module")
def values(images: Mapping[str, tool.Image]) -> dict[str, Any]:
    return {**release.values_of(images), "leaderElection": LEASE}


@pytest.fixture(scope="module")
def cleared(
    installation: Installation, cluster: tool.Cluster, images: Mapping[str, tool.Image], helm: Helm
) -> Iterator[Installation]:
    """The session's release, which tests of this module may take away; put back afterwards."""
    yield installation
    for name in json.loads(helm.run("list", "--output", "json")):
        if name["name"] != release.RELEASE:
            helm.run("uninstall", name["name"], *WAIT)
    release.install(cluster, images, {"leaderElection": LEASE})


def may(installation: Installation, user: str, verb: str, resource: str, **where: str) -> bool:
    """Whether the API server would let a user do something."""
    plural, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "resource": plural, "subresource": subresource, **where}
    body = {"spec": {"user": user, "resourceAttributes": attributes}}
    answer = installation.api.create("subjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


def crd_default(installation: Installation) -> Any:
    """The default that the CRD of version 0.0.9 fills in, and that of today does not."""
    crd = installation.api.get("customresourcedefinitions", CRD)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return schema["gpuResource"].get("default")


def uids(place: Playground, name: str) -> list[str]:
    return [pod["metadata"]["uid"] for pod in place.pods(name) if "deletionTimestamp" not in pod["metadata"]]


@dataclass(frozen=True)
class Running:
    """A job that trains, and what must not change about it."""

    place: Playground
    name: str
    pods: list[str]
    status: dict[str, Any]

    @classmethod
    def of(cls, place: Playground, name: str) -> Running:
        place.apply(job(name).workers(2).command(*SLEEPS))
        status = place.wait_phase(name, "Running", timeout=120)
        return cls(place, name, uids(place, name), status)

    def lives(self) -> None:
        """Assert that nobody touched it."""
        now = self.place.status(self.name)
        kept = ("phase", "attempt", "startTime", "runningSince")
        assert {key: now.get(key) for key in kept} == {key: self.status.get(key) for key in kept}
        assert uids(self.place, self.name) == self.pods

    def beside(self, witness: str) -> None:
        """Assert that it lives under an operator that has looked at it: one that sees another job through."""
        self.place.apply(job(witness).command(*TRAINS))
        self.place.wait_phase(witness, "Succeeded", timeout=120)
        self.lives()


def test_every_default_image_trains_under_the_restricted_standard(playground: Playground) -> None:
    """`playground` enforces it; what the frameworks do there is tested in their own files."""
    frameworks = {"pytorch": {}, "tensorflow": {}, "keras": {"kerasBackend": "torch"}, "horovod": {}}
    spelt = {"pytorch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras", "horovod": "Horovod"}
    finds = "import importlib.util as u, os; print('found', bool(u.find_spec('{}')), 'user', os.getuid())"
    for name, more in frameworks.items():
        module = "torch" if name == "pytorch" else name
        each = job(name).framework(spelt[name]).set(**more).command("python3", "-c", finds.format(module))
        playground.apply(each)

    for name in frameworks:
        playground.wait_phase(name, "Succeeded", timeout=180)
        assert "found True user 1000" in playground.log(f"{name}-1-0")
    labels = playground.api.get("namespaces", playground.namespace)["metadata"]["labels"]
    assert labels.items() >= release.RESTRICTED.items()


INVENTORY: Final = """
import importlib.metadata, json, os, sys
installed = importlib.metadata.distributions()
found = {each.name.lower().replace("_", "-").replace(".", "-"): each.version for each in installed}
print("INVENTORY", json.dumps([sys.version_info[:2], found, os.getuid()]))
"""


def test_the_operators_image_holds_what_its_bill_of_materials_says(playground: Playground) -> None:
    image = playground.installation.images["operator"]
    asks = job("inventory").framework("Custom").image(image).command("/opt/regatta/bin/python", "-c", INVENTORY)
    playground.apply(asks.set(podTemplate={"spec": {"securityContext": {"runAsNonRoot": True}}}))
    playground.wait_phase("inventory", "Succeeded", timeout=120)
    told = re.search(r"INVENTORY (.*)", playground.log("inventory-1-0"))
    assert told is not None
    python, found, user = json.loads(told[1])

    tools = {"pip", "setuptools", "regatta-operator"}
    bill = sbom.packages("operator", python=".".join(map(str, python)))
    assert {name: version for name, version in found.items() if name not in tools} == bill
    assert user == 65532


def test_jobs_train_on_through_upgrade_rollback_uninstall_and_reinstall_under_another_name(
    cleared: Installation, helm: Helm, values: dict[str, Any], playground: Playground
) -> None:
    helm.run("uninstall", release.RELEASE, *WAIT)
    old = {key: value for key, value in values.items() if key not in NEWER}
    helm.run("install", release.RELEASE, str(PREVIOUS), *OURS, values=old)
    assert crd_default(cleared) == "nvidia.com/gpu"
    running = Running.of(playground, "long")

    with pytest.raises(HelmError, match=r"missing propert.*jobDefaults"):
        helm.run("upgrade", release.RELEASE, str(release.CHART), "--reuse-values")  # knows nothing of newer defaults
    helm.run("upgrade", release.RELEASE, str(release.CHART), "--reset-then-reuse-values", "--force-conflicts", *WAIT)
    assert crd_default(cleared) is None, "the CRD is upgraded with the release"
    running.beside("after-upgrade")

    helm.run("rollback", release.RELEASE, "1", "--force-conflicts", *WAIT)
    assert crd_default(cleared) == "nvidia.com/gpu"
    running.beside("after-rollback")

    helm.run("uninstall", release.RELEASE, *WAIT)
    wait_for("the operator to be gone", lambda: not cleared.pods(), timeout=60)
    running.lives()

    with pytest.raises(HelmError, match=r"ownership metadata|meta.helm.sh/release-name"):
        helm.run("install", "boats", str(release.CHART), *WAIT, values=values)
    helm.run("upgrade", "--install", "boats", str(release.CHART), *OURS, values=values)
    running.beside("after-reinstall")
    playground.api.patch("trainingjobs", "long", {"spec": {"suspend": True}}, namespace=playground.namespace)
    playground.wait_phase("long", "Suspended", timeout=60)
    playground.wait("its pods to be gone", lambda: not uids(playground, "long"), name="long", timeout=60)


@pytest.fixture(scope="module")
def confined(cleared: Installation, images: Mapping[str, tool.Image], helm: Helm) -> Iterator[Playground]:
    """An installation for one namespace alone, of images from a mirror, with every policy on; its namespace."""
    if external.chosen() is not None:
        pytest.skip("images of a user's own cluster are not ours to rename")
    for found in json.loads(helm.run("list", "--output", "json")):
        helm.run("uninstall", found["name"], *WAIT)
    tool.rename_images(MIRROR, {name: image for name, image in images.items() if name != "base"})
    tag = images["operator"].reference.rpartition(":")[2]
    tags = {name: {"tag": tag} for name in ("PyTorch", "TensorFlow", "Keras", "Horovod")}
    with namespace(cleared, "confined", standard="restricted") as place:
        values = {
            "image": {"registry": MIRROR, "tag": tag},
            "runtimeImage": {"tag": tag},
            "feedImage": {"tag": tag},
            "frameworkImages": tags,
            "clusterWide": False,
            "watchNamespaces": [place.namespace],
            "leaderElection": LEASE,
            "serviceAccount": {"name": "confined"},
            "jobDefaults": {"ttlSecondsAfterFinished": 3600, "cleanup": "All", "gang": "None"},
            "networkPolicy": {"operator": {"enabled": True}, "jobs": {"enabled": True, "egress": "Crew"}},
            "commonLabels": {"team": "platform"},
        }
        helm.run("upgrade", "--install", release.RELEASE, str(release.CHART), *OURS, values=values)
        yield place
        helm.run("uninstall", release.RELEASE, *WAIT)


def test_rights_end_at_the_namespaces_that_are_named(confined: Playground) -> None:
    account = f"system:serviceaccount:{release.NAMESPACE}:confined"

    def allowed(verb: str, resource: str, where: str, group: str = "") -> bool:
        return may(confined.installation, account, verb, resource, namespace=where, group=group)

    assert allowed("create", "pods", confined.namespace)
    assert allowed("create", "networkpolicies", confined.namespace, "networking.k8s.io")
    assert allowed("update", "trainingjobs/finalizers", confined.namespace, "regatta.dev")
    for elsewhere in ("default", "kube-system", ""):
        assert not allowed("create", "pods", elsewhere)
        assert not allowed("list", "trainingjobs", elsewhere, "regatta.dev")
    for forbidden in ("secrets", "serviceaccounts", "pods/exec"):
        assert not allowed("get", forbidden, confined.namespace)


def test_one_registry_value_moves_every_image(confined: Playground) -> None:
    confined.apply(job("mirrored").workers(2).command(*SLEEPS))
    confined.wait_phase("mirrored", "Running", timeout=120)

    found = set()
    for pod in [*confined.installation.pods(), *confined.pods("mirrored")]:
        spec = pod["spec"]
        found |= {container["image"] for part in ("containers", "initContainers") for container in spec.get(part, ())}
        found |= {volume["image"]["reference"] for volume in spec["volumes"] if "image" in volume}

    assert {image.rpartition("/")[2].partition(":")[0] for image in found} >= {"operator", "pytorch", "runtime"}
    assert [image for image in found if not image.startswith(MIRROR)] == []
    confined.delete("mirrored")


def test_defaults_of_the_installation_hold_for_a_job_that_says_nothing(confined: Playground) -> None:
    confined.apply(job("plain").command(*TRAINS))
    confined.wait_phase("plain", "Succeeded", timeout=120)

    stored = confined.api.get("trainingjobs", "plain", namespace=confined.namespace)["spec"]
    assert not {"cleanup", "ttlSecondsAfterFinished", "gpuResource"} & set(stored)
    confined.wait("cleanup: All", lambda: not confined.pods("plain"), name="plain", timeout=60)


def test_each_job_gets_a_policy_that_selects_its_pods_alone(confined: Playground) -> None:
    confined.apply(job("fenced").command(*SLEEPS))
    confined.wait_phase("fenced", "Running", timeout=120)
    policy = confined.api.get("networkpolicies", "fenced-crew", namespace=confined.namespace)
    selector = policy["spec"]["podSelector"]["matchLabels"]
    labels = ",".join(f"{key}={value}" for key, value in selector.items())

    selected = confined.api.list("pods", namespace=confined.namespace, labels=labels)
    assert [pod["metadata"]["name"] for pod in selected] == ["fenced-1-0"]
    confined.api.delete("pods", "fenced-1-0", namespace=confined.namespace, grace=0)
    confined.wait_status("fenced", "a second attempt", lambda status: status["attempt"] == 2, timeout=60)
    confined.wait_phase("fenced", "Running", timeout=120)
    policies = "networking.k8s.io/networkpolicies"
    wait_for(
        "both rights to policies to be used",
        lambda: {verb for resource, verb in audit.used("confined") if resource == policies} == {"create", "get"},
        timeout=30,
    )
    confined.delete("fenced")
    gone = lambda: confined.api.find("networkpolicies", "fenced-crew", namespace=confined.namespace) is None  # noqa: E731
    confined.wait("the policy to go with its job", gone, name="fenced", timeout=60)


def test_helm_test_trains_two_workers_and_reads_their_metrics(confined: Playground, helm: Helm) -> None:
    said = helm.run("test", release.RELEASE, "--logs", "--timeout", "3m")

    assert re.search(r"metrics of selftest-\w+-1-0: .*regatta_", said), said
    assert re.search(r"metrics of selftest-\w+-1-1: .*regatta_", said), said
    assert "metrics of the operator: regatta_" in said
    assert "all is well" in said
    assert (
        confined.api.list("trainingjobs", namespace=confined.namespace, labels="app.kubernetes.io/component=test") == []
    )


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        pytest.param({"replicCount": 2}, "additional properties 'replicCount' not allowed", id="a misspelt key"),
        pytest.param({"replicas": "two"}, "at '/replicas': got string, want integer", id="a wrong type"),
        pytest.param({"clusterWide": False}, "name the namespaces", id="a contradictory pair"),
    ],
)
def test_wrong_values_are_refused_at_install_with_words(
    installation: Installation, helm: Helm, wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(HelmError, match=re.escape(complaint)):
        helm.run("install", "wrong", str(release.CHART), values=wrong)

    assert "wrong" not in helm.run("list", "--short").split()


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param({}, id="the defaults"),
        pytest.param({"clusterWide": False, "watchNamespaces": ["default"], "replicas": 1}, id="one namespace"),
        pytest.param(
            {
                "hostUsers": False,
                "runAsUser": None,
                "priorityClassName": "system-cluster-critical",
                "networkPolicy": {"operator": {"enabled": True, "apiServerCIDRs": ["10.0.0.1/32"]}},
                "extraVolumes": [{"name": "trust", "configMap": {"name": "trust"}}],
                "extraVolumeMounts": [{"name": "trust", "mountPath": "/trust"}],
                "extraArgs": ["--parallel-writes=7"],
                "tolerations": [{"operator": "Exists"}],
            },
            id="everything on",
        ),
    ],
)
def test_the_api_server_takes_every_object_strictly(
    installation: Installation, cluster: tool.Cluster, helm: Helm, chosen: dict[str, Any]
) -> None:
    rendered = helm.run("template", "strict", str(release.CHART), "--no-hooks", values=chosen)
    command = [
        *cluster.kubectl(),
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
    ]
    done = subprocess.run([*command, "-f", "-"], input=rendered, text=True, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "unknown field" not in done.stderr


def test_the_operators_namespace_enforces_the_restricted_standard(installation: Installation) -> None:
    labels = installation.api.get("namespaces", installation.namespace)["metadata"]["labels"]

    assert labels.items() >= release.RESTRICTED.items()
    assert len(installation.pods()) == 2


VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        pytest.param("view", {"get", "list", "watch"}, id="view"),
        pytest.param("edit", set(VERBS), id="edit"),
        pytest.param("admin", set(VERBS), id="admin"),
    ],
)
def test_the_clusters_own_roles_know_training_jobs(playground: Playground, role: str, allowed: set[str]) -> None:
    user = f"{role}-{uuid.uuid4().hex[:6]}"
    bind(playground, user, role)
    where = {"namespace": playground.namespace, "group": "regatta.dev"}

    def granted() -> set[str]:
        return {verb for verb in VERBS if may(playground.installation, user, verb, "trainingjobs", **where)}

    wait_for(f"{role} to be {allowed}", lambda: granted() == allowed, timeout=30, explain=lambda: str(granted()))
    assert not may(playground.installation, user, "patch", "trainingjobs/status", **where)


def bind(place: Playground, user: str, role: str) -> None:
    body = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }
    place.api.create("rolebindings", body, namespace=place.namespace)


def test_a_metrics_reader_reads_metrics_through_the_api_server_and_nothing_else(
    installation: Installation, cluster: tool.Cluster
) -> None:
    user = f"reader-{uuid.uuid4().hex[:6]}"
    place = Playground(installation, installation.namespace)
    bind(place, user, f"{release.RELEASE}-metrics-reader")
    service = f"{release.RELEASE}-metrics:metrics"
    address = f"/api/v1/namespaces/{installation.namespace}/services/{service}/proxy/metrics"

    def read() -> str:
        command = [*cluster.kubectl(), "--as", user, "get", "--raw", address]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    assert "regatta_build_info" in wait_for("metrics", read, timeout=30)
    where = {"namespace": installation.namespace}
    assert not may(installation, user, "get", "services/proxy", name="another:metrics", **where)
    assert not may(installation, user, "get", "services", name=service, **where)
    installation.api.delete("rolebindings", user, namespace=installation.namespace)
