"""Who may create TrainingJobs in a namespace gains nothing there that its pods may not have, and hears why.

Jobs are applied by a tenant who has the role `edit` in a namespace under the restricted Pod Security Standard.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.cluster.kit import Api, JobBuilder, Playground, Refused, job
from tests.cluster.tool import api as tool

pytestmark = pytest.mark.cluster

SECONDS: Final = 60
POLICY: Final = f"no-chosen-nodes-{uuid.uuid4().hex[:6]}"
TRAINS: Final = ("python3", "-c", "print('trained')")
SLEEPS: Final = ("python3", "-c", "import time; time.sleep(3600)")
HOST: Final = {"hostPath": {"path": "/"}}


def tries(title: str) -> JobBuilder:
    return job(title).command(*TRAINS)


def pod(**spec: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": spec}}


def trainer(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "trainer", **fields}])


def sidecar(**fields: Any) -> dict[str, Any]:
    return pod(initContainers=[{"name": "prep", "image": "localhost/none:1", **fields}])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Fields with which a tenant tries to get more than a pod of the namespace may have, and what the status says."""

    name: str
    fields: dict[str, Any]
    words: tuple[str, ...] = field(default=("violates PodSecurity",))


ATTEMPTS: Final = [
    Attempt(name="privileged", fields=trainer(securityContext={"privileged": True, "allowPrivilegeEscalation": True})),
    Attempt(name="escalating", fields=trainer(securityContext={"allowPrivilegeEscalation": True})),
    Attempt(name="capable", fields=trainer(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})),
    Attempt(name="unconfined", fields=trainer(securityContext={"seccompProfile": {"type": "Unconfined"}})),
    Attempt(name="root", fields=pod(securityContext={"runAsUser": 0, "runAsNonRoot": False})),
    Attempt(name="host-port", fields=trainer(ports=[{"containerPort": 80, "hostPort": 80}])),
    Attempt(name="privileged-init", fields=sidecar(securityContext={"privileged": True})),
    Attempt(name="host-network", fields=pod(hostNetwork=True)),
    Attempt(name="host-pid", fields=pod(hostPID=True)),
    Attempt(name="host-ipc", fields=pod(hostIPC=True)),
    Attempt(name="path-in-volumes", fields={"volumes": [{"name": "host", **HOST}]}),
    Attempt(name="path-in-checkpoint", fields={"checkpoint": {"volume": HOST}}),
    Attempt(name="path-in-template", fields=pod(volumes=[{"name": "host", **HOST}])),
    Attempt(name="path-over-memory", fields=pod(volumes=[{"name": "dshm", **HOST}])),
    Attempt(name="foreign-account", fields=pod(serviceAccountName="foreign"), words=("serviceaccount", "not found")),
    Attempt(name="chosen-node", fields=pod(nodeName="node1"), words=(POLICY, "nodes are not yours to choose")),
    Attempt(
        name="node-by-template", fields=pod(nodeSelector={"pool": "control"}), words=(POLICY, "not yours to choose")
    ),
    Attempt(
        name="node-by-scheduling",
        fields={"scheduling": {"nodeSelector": {"pool": "control"}}},
        words=(POLICY, "not yours to choose"),
    ),
    Attempt(
        name="tolerant",
        fields={"scheduling": {"tolerations": [{"key": "control", "operator": "Exists"}]}},
        words=(POLICY, "not yours to tolerate"),
    ),
]


@pytest.fixture(scope="module")
def neighbours(make_place: Callable[[str], Playground]) -> Playground:
    """Another namespace, with code and an account that are nobody else's business."""
    place = make_place("neighbours")
    body = {"metadata": {"name": "secret-code"}, "data": {"train.py": "print('the secret of the neighbours')"}}
    place.api.create("configmaps", body, namespace=place.namespace)
    place.api.create("serviceaccounts", {"metadata": {"name": "foreign"}}, namespace=place.namespace)
    return place


@pytest.fixture(scope="module")
def place(make_place: Callable[[str], Playground], neighbours: Playground) -> Iterator[Playground]:
    """The tenant's namespace, with Pod Security and an admission policy in force."""
    made = make_place("tenant")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made.api.patch("namespaces", made.namespace, {"metadata": {"labels": labels}})
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    validations = [
        {
            "expression": "!has(object.spec.nodeName) && !('pool' in (has(object.spec.nodeSelector) ? "
            "object.spec.nodeSelector : {'x': 'y'}))",
            "message": "nodes are not yours to choose",
        },
        {
            "expression": "!has(object.spec.tolerations) || !object.spec.tolerations.exists(t, has(t.key) && "
            "t.key == 'control')",
            "message": "taints are not yours to tolerate",
        },
    ]
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    made.api.create("validatingadmissionpolicies", {"metadata": {"name": POLICY}, "spec": spec})
    binding = {
        "policyName": POLICY,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": made.namespace}}},
    }
    made.api.create("validatingadmissionpolicybindings", {"metadata": {"name": POLICY}, "spec": binding})
    # Pod Security is asked before the policy, so the probe must please it.
    humble = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {"name": "c", "image": "localhost/none:1", "securityContext": humble}
    pod_security = {"seccompProfile": {"type": "RuntimeDefault"}}
    wanted = {"nodeName": "node1", "securityContext": pod_security, "containers": [container]}
    probe = {"metadata": {"name": "probe"}, "spec": wanted}

    def in_force() -> bool:
        try:
            path = made.api.path("pods", namespace=made.namespace)
            made.api.request("POST", path, body=probe, query={"dryRun": "All"})
        except Refused as refused:
            return POLICY in refused.message
        return False

    made.wait("the policy to be in force", in_force, name="none", timeout=30)
    yield made
    made.api.delete("validatingadmissionpolicybindings", POLICY)
    made.api.delete("validatingadmissionpolicies", POLICY)


@pytest.fixture(scope="module")
def tenant(place: Playground, cluster: tool.Cluster) -> Iterator[Api]:
    """The API as a user sees it who may edit the namespace and nothing else."""
    user = f"tenant-{uuid.uuid4().hex[:6]}"
    body = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }
    place.api.create("rolebindings", body, namespace=place.namespace)
    api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context, user=user)

    def may() -> bool:
        try:
            api.list("trainingjobs", namespace=place.namespace)
        except Refused:
            return False
        return True

    place.wait("the tenant to be let in", may, name="none", timeout=30)
    yield api
    api.close()


@pytest.fixture(scope="module")
def attempted(place: Playground, tenant: Api) -> Playground:
    """Every attempt applied by the tenant, all beside one another."""
    for attempt in ATTEMPTS:
        tenant.create("trainingjobs", tries(attempt.name).set(**attempt.fields).obj(), namespace=place.namespace)
    return place


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_what_a_pod_may_not_be_a_job_may_not_be_and_its_status_says_so(
    attempted: Playground, tenant: Api, attempt: Attempt
) -> None:
    def told(status: dict[str, Any]) -> bool:
        return all(words in status.get("message", "") for words in attempt.words)

    status = attempted.wait_status(attempt.name, f"{attempt.words}", told, timeout=SECONDS)

    assert (status["phase"], status["reason"]) == ("Queued", "CreateError")
    assert attempted.pods(attempt.name) == []
    seen = tenant.get("trainingjobs", attempt.name, namespace=attempted.namespace)["status"]
    assert told(seen), "the tenant reads it, too"


def test_code_of_another_namespace_is_out_of_reach(place: Playground, tenant: Api) -> None:
    source = tries("thief").set(source={"configMap": {"name": "secret-code"}})
    tenant.create("trainingjobs", source.obj(), namespace=place.namespace)
    through = {"envFrom": [{"configMapRef": {"name": "secret-code"}}]}
    tenant.create("trainingjobs", tries("reader").set(**through).obj(), namespace=place.namespace)

    for name in ("thief", "reader"):

        def hinders(status: dict[str, Any]) -> bool:
            return status.get("reason") == "ConfigError" and '"secret-code" not found' in status["message"]

        place.wait_status(name, "no such ConfigMap here", hinders, timeout=SECONDS)


def test_a_name_cannot_point_into_another_namespace(place: Playground, neighbours: Playground, tenant: Api) -> None:
    path = f"{neighbours.namespace}/secret-code"
    tenant.create(
        "trainingjobs", tries("pointer").set(source={"configMap": {"name": path}}).obj(), namespace=place.namespace
    )
    elsewhere = tries("elsewhere").set(podTemplate={"metadata": {"namespace": neighbours.namespace}})
    tenant.create("trainingjobs", elsewhere.obj(), namespace=place.namespace)

    refusals = {"InvalidSpec", "CreateError", "ConfigError"}
    place.wait_status("pointer", "a refusal", lambda status: status.get("reason") in refusals, timeout=SECONDS)
    place.wait_phase("elsewhere", "Succeeded", timeout=SECONDS)

    assert {pod["status"]["phase"] for pod in place.pods("pointer")} <= {"Pending"}
    stored = place.api.get("trainingjobs", "elsewhere", namespace=place.namespace)["spec"]
    assert "namespace" not in stored.get("podTemplate", {}).get("metadata", {}), "the CRD knows no such field"
    assert [each["metadata"]["namespace"] for each in place.pods("elsewhere")] == [place.namespace]
    assert neighbours.api.list("pods", namespace=neighbours.namespace) == []


def test_a_worker_holds_no_token_unless_its_template_asks_for_one(place: Playground, tenant: Api) -> None:
    look = "import os; print('token', os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'))"
    asks = pod(automountServiceAccountToken=True)
    tenant.create("trainingjobs", job("plain").command("python3", "-c", look).obj(), namespace=place.namespace)
    tenant.create(
        "trainingjobs", job("asks").command("python3", "-c", look).set(**asks).obj(), namespace=place.namespace
    )

    for name in ("plain", "asks"):
        place.wait_phase(name, "Succeeded", timeout=120)

    assert "token False" in place.log("plain-1-0")
    assert "token True" in place.log("asks-1-0")


def test_a_tenant_cannot_write_a_status_or_reach_the_operator(place: Playground, tenant: Api) -> None:
    tenant.create("trainingjobs", job("mine").command(*SLEEPS).obj(), namespace=place.namespace)
    status = {"status": {"phase": "Succeeded"}}
    path = tenant.path("trainingjobs", namespace=place.namespace, name="mine") + "/status"

    with pytest.raises(Refused, match="cannot patch resource"):
        tenant.request("PATCH", path, body=status, content_type="application/merge-patch+json")
    with pytest.raises(Refused, match="cannot list resource"):
        tenant.list("pods", namespace=place.installation.namespace)
    with pytest.raises(Refused, match="cannot list resource"):
        tenant.list("trainingjobs")
