"""Every right that the chart gives the operator is used, and every right it uses is given.

The API server of the tests' own cluster writes down what the operator's account asks of it (its audit log). These tests
run last, so that the log tells of all tests before them; what makes the operator use each of its rights, whatever ran
before, is done here.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.cluster.kit import Api, Installation, Playground, Refused, audit, job, wait_for
from tests.cluster.tool import api as tool
from tests.cluster.tool import external

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.last,
    pytest.mark.skipif(external.chosen() is not None, reason="a user's own cluster has an audit log of its own"),
]

UNSEEN: Final[frozenset[audit.Right]] = frozenset({("regatta.dev/trainingjobs/finalizers", "update")})
"""Asked for by an admission plugin, not by a request: see the test of its own."""
FAILS_FIRST: Final = "import os, sys; sys.exit(3 * (os.environ['REGATTA_ATTEMPT'] == '1'))"


def granted(installation: Installation) -> set[audit.Right]:
    """What the roles say."""
    jobs = installation.api.get("clusterroles", f"{installation.release}-jobs")
    leader = installation.api.get("roles", f"{installation.release}-leader", namespace=installation.namespace)
    return {
        (f"{group}/{resource}".removeprefix("/"), verb)
        for role in (jobs, leader)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def use_everything(place: Playground) -> None:
    """Have the operator use every right that it has."""
    api, namespace = place.api, place.namespace
    # The first restart is in place, the last makes a new attempt. A name that is taken is read: those of the Service
    # and the ConfigMap by that attempt, that of a pod by another job.
    code = {"train.py": FAILS_FIRST}
    crew = job("retried").workers(2).set(source={"inline": code}, command=["python3", "train.py"])
    place.apply(crew.set(ttlSecondsAfterFinished=1, restart={"maxRestarts": 2}))
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    body = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "image": "localhost/none:1", "securityContext": confined}],
        "schedulerName": "nobody",
    }
    taken = {"metadata": {"name": "taken-1-0"}, "spec": body}
    api.create("pods", taken, namespace=namespace)
    place.apply(job("taken").command("python3", "-c", "pass"))
    # A pod that hangs without a word makes the operator look for events.
    place.apply(job("hangs").command("python3", "-c", "pass").set(source={"configMap": {"name": "is-not-there"}}))
    # The same words twice are one event that is patched.
    place.apply(job("again").command("python3", "-c", "import time; time.sleep(3600)"))
    for suspend in (True, False, True):
        place.wait_phase("again", *(("Suspended",) if not suspend else ("Running", "Starting", "Queued")), timeout=60)
        api.patch("trainingjobs", "again", {"spec": {"suspend": suspend}}, namespace=namespace)
    place.wait_phase("again", "Suspended", timeout=60)
    # Pods whose job is gone are asked about.
    place.delete("hangs")


def test_every_right_is_used_and_every_use_is_allowed(playground: Playground) -> None:
    expected = granted(playground.installation) - UNSEEN
    use_everything(playground)

    def story() -> str:
        return f"not used: {sorted(expected - audit.used())}\nnot granted: {sorted(audit.used() - expected)}"

    wait_for("every right to be used", lambda: expected <= audit.used(), timeout=120, poll=1, explain=story)

    assert audit.used() == expected
    # An uninstall takes the roles away before the last replica has ended; as long as they are there, they suffice.
    installed = min(pod["metadata"]["creationTimestamp"] for pod in playground.installation.pods())
    assert audit.denied(since=installed) == set()


def test_a_child_that_holds_its_jobs_deletion_needs_the_right_to_finalizers(
    playground: Playground, cluster: tool.Cluster
) -> None:
    playground.apply(job("owner").command("python3", "-c", "import time; time.sleep(3600)"))
    playground.wait_phase("owner", "Running", timeout=60)
    (pod,) = playground.pods("owner")
    child = {"metadata": {"name": "child", "ownerReferences": pod["metadata"]["ownerReferences"]}, "data": {}}
    api, where = playground.api, playground.namespace
    operator = f"system:serviceaccount:{playground.installation.namespace}:{playground.installation.release}"
    role = {
        "metadata": {"name": "maker"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}],
    }
    api.create("roles", role, namespace=where)
    binding = {
        "metadata": {"name": "maker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maker"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "maker"}],
    }
    api.create("rolebindings", binding, namespace=where)

    def make(user: str) -> None:
        acting = Api(kubeconfig=cluster.kubeconfig, context=cluster.context, user=user)
        path = api.path("configmaps", namespace=where)
        acting.request("POST", path, body=child, query={"dryRun": "All"})
        acting.close()

    make(operator)
    with pytest.raises(Refused, match="cannot set blockOwnerDeletion"):
        make("maker")
