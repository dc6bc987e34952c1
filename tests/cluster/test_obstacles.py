"""The first real obstacle is named with its numbers and its fix, `regatta explain` shows the way to it, and it heals.

Each row is a job in a namespace of its own; all of them run beside one another.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kit import Command, Installation, JobBuilder, Playground, Refused, job
from tests.cluster.tool import api as tool

pytestmark = pytest.mark.cluster

SECONDS = 60
"""All rows start at once on a machine of two cores; alone each is a matter of a few."""
TRAINS = ("python3", "-c", "print('trained')")
ONCE = uuid.uuid4().hex[:6]
"""Sets what belongs to the whole cluster apart from that of another run."""
SLOT = f"example.com/slot-{ONCE}"
CLASS = f"gold-{ONCE}"
POLICY = f"no-trainers-{ONCE}"
POD_STANDARD = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job that something hinders, what must be said about it, and what heals it."""

    title: str
    job: JobBuilder
    reason: str
    message: tuple[str, ...]
    chain: tuple[str, ...]
    """What `regatta explain` must say besides."""
    setup: Callable[[Playground], None] | None = None
    heal: Callable[[Playground], None] | None = None
    holds_nothing: bool = False
    """Whether not one pod may exist meanwhile."""
    cleanup: tuple[tuple[str, str], ...] = field(default=())
    """Objects of the whole cluster that the row makes."""


def give_cpu(amount: str) -> Callable[[Playground], None]:
    def put(place: Playground) -> None:
        body = {"metadata": {"name": "cpu"}, "spec": {"hard": {"requests.cpu": amount}}}
        if place.api.find("resourcequotas", "cpu", namespace=place.namespace):
            place.api.patch("resourcequotas", "cpu", {"spec": body["spec"]}, namespace=place.namespace)
        else:
            place.api.create("resourcequotas", body, namespace=place.namespace)

        def in_force() -> bool:
            quota = place.api.get("resourcequotas", "cpu", namespace=place.namespace)
            counted: str = quota.get("status", {}).get("hard", {}).get("requests.cpu", "")
            return counted == amount

        place.wait("the quota to be in force", in_force, name="none", timeout=30)

    return put


def offer_slot(place: Playground) -> None:
    node = next(
        node["metadata"]["name"]
        for node in place.api.list("nodes")
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))
        and "kwok" not in node["metadata"]["name"]
    )
    patch_slot(place, node, "1")


def patch_slot(place: Playground, node: str, count: str | None) -> None:
    body = {"status": {"capacity": {SLOT: count}, "allocatable": {SLOT: count}}}
    path = place.api.path("nodes", name=node) + "/status"
    place.api.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def make_key(place: Playground) -> None:
    place.api.patch("configmaps", "settings", {"data": {"epochs": "1"}}, namespace=place.namespace)


def make_settings(place: Playground) -> None:
    body = {"metadata": {"name": "settings"}, "data": {"other": "1"}}
    place.api.create("configmaps", body, namespace=place.namespace)


def enforce(standard: str) -> Callable[[Playground], None]:
    def label(place: Playground) -> None:
        place.api.patch("namespaces", place.namespace, {"metadata": {"labels": {POD_STANDARD: standard}}})

    return label


def make_class(place: Playground) -> None:
    place.api.create("priorityclasses", {"metadata": {"name": CLASS}, "value": 10})


def forbid_trainers(place: Playground) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    refuses = {"expression": "false", "message": "pods must carry a team label"}
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, "validations": [refuses]}
    place.api.create("validatingadmissionpolicies", {"metadata": {"name": POLICY}, "spec": spec})
    selector = {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}}
    binding = {
        "policyName": POLICY,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    place.api.create("validatingadmissionpolicybindings", {"metadata": {"name": POLICY}, "spec": binding})

    probe = {
        "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "c", "image": "localhost/none:1"}], "restartPolicy": "Never"},
    }

    def in_force() -> bool:
        try:
            place.api.request(
                "POST", place.api.path("pods", namespace=place.namespace), body=probe, query={"dryRun": "All"}
            )
        except Refused as refused:
            return POLICY in refused.message
        return False

    place.wait("the policy to be in force", in_force, name="none", timeout=30)


def allow_trainers(place: Playground) -> None:
    place.api.delete("validatingadmissionpolicybindings", POLICY)


ROWS = [
    Row(
        title="a quota smaller than the job",
        job=job("over-quota").workers(2).command(*TRAINS).resources(cpu="200m"),
        setup=give_cpu("300m"),
        reason="QuotaExceeded",
        message=(
            "exceeded quota: cpu",
            "the job needs 2 x 200m = 400m requests.cpu, the quota leaves it 300m of 300m",
            "all of it would not suffice",
        ),
        chain=("0 of 2 pods", "quota cpu now: requests.cpu", "of 300m", "next try in"),
        holds_nothing=True,
        heal=give_cpu("2"),
    ),
    Row(
        title="a resource that no node has",
        job=job("no-slot").command(*TRAINS).set(gpusPerWorker=1, gpuResource=SLOT),
        reason="Unschedulable",
        message=(f"Insufficient {SLOT}", "no node would suffice even if it were empty"),
        chain=("condition PodScheduled=False", f"nodes has {SLOT}", "no node yet", f"add nodes that have {SLOT}"),
        heal=offer_slot,
    ),
    Row(
        title="an image that its registry does not give",
        job=job("no-image").image("localhost:1/there/is-none:1").command(*TRAINS),
        reason="ImageError",
        message=("cannot get image localhost:1/there/is-none:1", "refused", "(spec.image)"),
        chain=("pod no-image-1-0 (worker 0)", "container trainer: waits", "event "),
    ),
    Row(
        title="an init container's image",
        job=job("no-init-image")
        .command(*TRAINS)
        .set(podTemplate={"spec": {"initContainers": [{"name": "prep", "image": "localhost:1/there/is-none:2"}]}}),
        reason="ImageError",
        message=("container prep of no-init-image-1-0", "cannot get image localhost:1/there/is-none:2"),
        chain=("container prep: waits",),
    ),
    Row(
        title="a volume of a ConfigMap that is not there",
        job=job("no-code").command(*TRAINS).set(source={"configMap": {"name": "no-such-code"}}),
        reason="ConfigError",
        message=("volume regatta-source", 'configmap "no-such-code" not found', "create the ConfigMap"),
        chain=("pod no-code-1-0 (worker 0): Pending, on ", "event FailedMount"),
    ),
    Row(
        title="a key that a ConfigMap lacks",
        job=job("no-key")
        .command(*TRAINS)
        .set(env=[{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "epochs"}}}]),
        setup=make_settings,
        reason="ConfigError",
        message=("couldn't find key epochs in ConfigMap", "settings", "add the key"),
        chain=("container trainer: waits (CreateContainerConfigError)",),
        heal=make_key,
    ),
    Row(
        title="a volume claim that is not there",
        job=job("no-claim").command(*TRAINS).checkpoint({"persistentVolumeClaim": {"claimName": "no-such-claim"}}),
        reason="ConfigError",
        message=("the volume claim no-such-claim does not exist", "create the PersistentVolumeClaim no-such-claim"),
        chain=("condition PodScheduled=False",),
    ),
    Row(
        title="a Pod Security Standard",
        job=job("not-restricted").command(*TRAINS).set(volumes=[{"name": "host", "hostPath": {"path": "/tmp"}}]),
        setup=enforce("restricted"),
        reason="CreateError",
        message=('violates PodSecurity "restricted', "hostPath", "fit the podTemplate to that standard"),
        chain=("0 of 1 pods", "next try in"),
        holds_nothing=True,
        heal=enforce("privileged"),
    ),
    Row(
        title="a priority class that is not there",
        job=job("no-class").command(*TRAINS).set(scheduling={"priorityClassName": CLASS}),
        reason="CreateError",
        message=(f"no PriorityClass with name {CLASS} was found", "create the PriorityClass"),
        chain=("0 of 1 pods", "next try in"),
        holds_nothing=True,
        heal=make_class,
        cleanup=(("priorityclasses", CLASS),),
    ),
    Row(
        title="an admission policy",
        job=job("refused").command(*TRAINS),
        setup=forbid_trainers,
        reason="CreateError",
        message=(POLICY, "pods must carry a team label", "fit the job to that policy"),
        chain=("0 of 1 pods", "next try in"),
        holds_nothing=True,
        heal=allow_trainers,
        cleanup=(("validatingadmissionpolicybindings", POLICY), ("validatingadmissionpolicies", POLICY)),
    ),
]
HEALED = [row for row in ROWS if row.heal]


@pytest.fixture(scope="module")
def places(make_place: Callable[[str], Playground]) -> Iterator[dict[str, Playground]]:
    """Every row applied in a namespace of its own, by its title."""
    made = {}
    try:
        for row in ROWS:
            made[row.title] = place = make_place(row.job.name)
            if row.setup:
                row.setup(place)
            place.apply(row.job)
        yield made
    finally:
        for place in list(made.values())[:1]:
            for row in ROWS:
                for plural, name in row.cleanup:
                    place.api.delete(plural, name)
            for node in place.api.list("nodes"):
                if SLOT in node["status"].get("allocatable", {}):
                    patch_slot(place, node["metadata"]["name"], None)


def hinders(place: Playground, row: Row) -> bool:
    """Whether the status tells of the row's obstacle."""
    return bool(place.status(row.job.name).get("reason") == row.reason)


def flat(tree: str) -> str:
    """What `regatta explain` printed, without branches and line breaks."""
    return " ".join(tree.replace("│", " ").replace("|", " ").split())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_the_first_obstacle_is_named_and_explained(
    cluster: tool.Cluster, places: dict[str, Playground], row: Row
) -> None:
    place, name = places[row.title], row.job.name

    def told(status: dict[str, Any]) -> bool:
        return status.get("reason") == row.reason and all(words in status.get("message", "") for words in row.message)

    place.wait_status(name, f"{row.reason}, {row.message}", told, timeout=SECONDS)
    explained = Command(cluster, place.namespace).run("explain", name)

    print(explained.stdout)
    assert explained.returncode == 0, explained
    assert max(map(len, explained.stdout.splitlines())) <= 80
    for words in (*row.chain, *row.message, f"{place.namespace}/{name}", "Fix:"):
        assert words in flat(explained.stdout), words
    if row.holds_nothing:
        assert place.pods(name) == []


@pytest.fixture(scope="module")
def healed(places: dict[str, Playground]) -> dict[str, Playground]:
    """Every row that can be healed hindered first and healed then, all together."""
    for row in HEALED:
        assert row.heal is not None
        place = places[row.title]
        place.wait(f"{row.title} to hinder", partial(hinders, place, row), name=row.job.name, timeout=SECONDS)
        row.heal(place)
    return places


@pytest.mark.parametrize("row", HEALED, ids=lambda row: row.title)
def test_an_obstacle_that_is_removed_clears_and_the_job_trains(
    cluster: tool.Cluster, healed: dict[str, Playground], row: Row
) -> None:
    place, name = healed[row.title], row.job.name

    # What the API server refused is tried again after as long as it has waited, a minute at most.
    status = place.wait_phase(name, "Succeeded", timeout=150)

    assert (status["reason"], status["attempt"]) == ("Completed", 1)
    assert status.get("restartsUsed", 0) == 0
    assert status.get("failureCounts") is None
    assert "Obstacle: none" in flat(Command(cluster, place.namespace).run("explain", name).stdout)


def test_a_resource_that_others_use_is_told_from_one_that_no_node_has(
    cluster: tool.Cluster, places: dict[str, Playground], make_place: Callable[[str], Playground]
) -> None:
    assert places  # removes the slot in the end
    place = make_place("in-use")
    offer_slot(place)
    wanted = {"gpusPerWorker": 1, "gpuResource": SLOT}
    holder = place.apply(job("holder").command("python3", "-c", "import time; time.sleep(600)").set(**wanted))
    place.wait_phase(holder, "Running", timeout=60)

    waiter = place.apply(job("waiter").command(*TRAINS).set(**wanted))

    def told(status: dict[str, Any]) -> bool:
        return "other pods use what there is" in status.get("message", "")

    place.wait_status(waiter, "that others use it", told, timeout=SECONDS)
    command = Command(cluster, place.namespace)
    assert "a worker asks for 1; 1 of " in flat(command.run("explain", waiter).stdout)
    running = command.run("explain", holder)
    assert "Obstacle: none: 1 processes train on 1 workers" in flat(running.stdout)

    place.delete(holder)
    place.wait_phase(waiter, "Succeeded", timeout=120)


def test_of_a_gang_the_worker_that_finds_no_room_is_named(
    cluster: tool.Cluster, places: dict[str, Playground], make_place: Callable[[str], Playground]
) -> None:
    assert places  # removes the slot in the end
    place = make_place("gang")
    offer_slot(place)
    name = place.apply(job("gang").workers(2).command(*TRAINS).set(gpusPerWorker=1, gpuResource=SLOT))

    def told(status: dict[str, Any]) -> bool:
        message = status.get("message", "")
        return "only 1 of the 2 workers that must start together find room: no node takes worker " in message

    status = place.wait_status(name, "which worker finds no room", told, timeout=SECONDS)
    explained = Command(cluster, place.namespace).run("explain", name)

    print(explained.stdout)
    assert f"Insufficient {SLOT}" in status["message"]
    assert "PodGroup gang-1, needs 2 pods at once" in flat(explained.stdout)
    assert "a worker asks for 1; 1 of " in flat(explained.stdout)


def test_a_job_that_failed_is_explained_by_its_last_failure(cluster: tool.Cluster, playground: Playground) -> None:
    name = playground.apply(job("fails").command("python3", "-c", "import sys; sys.exit(7)").budget(0))
    playground.wait_phase(name, "Failed", timeout=60)
    command = Command(cluster, playground.namespace)

    explained = command.run("explain", name)
    told = json.loads(command.run("explain", name, "--output", "json").stdout)

    assert explained.returncode == 0
    for words in ("Failed (UserError)", "exited with code 7", "regatta logs fails", "the job was given up"):
        assert words in flat(explained.stdout)
    assert told["obstacle"].startswith("UserError: ")
    assert told["chain"]["links"][0]["kind"] == "failure"


def test_a_viewer_of_the_namespace_may_have_it_explained(
    cluster: tool.Cluster, places: dict[str, Playground], tmp_path: Path
) -> None:
    place = places["a resource that no node has"]
    kubeconfig = viewer(place, cluster, tmp_path)
    row = next(row for row in ROWS if row.title == "an image that its registry does not give")
    other = places[row.title]
    lent = viewer(other, cluster, tmp_path)
    other.wait_status(row.job.name, row.reason, lambda status: status.get("reason") == row.reason, timeout=SECONDS)

    explained = Command(cluster, other.namespace, kubeconfig=lent).run("explain", row.job.name)

    print(explained.stdout)
    assert explained.returncode == 0, explained
    for words in (*row.message, "event ", "Note: without the operator: not allowed"):
        assert words in flat(explained.stdout), words
    assert Command(cluster, other.namespace, kubeconfig=kubeconfig).run("explain", row.job.name).returncode == 1


def viewer(place: Playground, cluster: tool.Cluster, folder: Path) -> Path:
    """A kubeconfig of somebody who may view the namespace and nothing else."""
    here = {"namespace": place.namespace}
    name = f"viewer-{uuid.uuid4().hex[:6]}"
    place.api.create("serviceaccounts", {"metadata": {"name": name}}, **here)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"kind": "ServiceAccount", "name": name, **here}
    place.api.create("rolebindings", {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}, **here)
    path = place.api.path("serviceaccounts", name=name, **here) + "/token"
    token = place.api.request("POST", path, body={"spec": {"expirationSeconds": 3600}})["status"]["token"]
    assert cluster.kubeconfig is not None
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text(encoding="utf-8"))
    current = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    server = next(c["cluster"] for c in config["clusters"] if c["name"] == current["cluster"])
    if "certificate-authority" in server:
        authority = Path(cluster.kubeconfig).parent / server.pop("certificate-authority")
        server["certificate-authority-data"] = base64.b64encode(authority.read_bytes()).decode()
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "viewer",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "viewer", "context": {"cluster": "c", "user": "u", "namespace": place.namespace}}],
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(made), encoding="utf-8")
    return file


def test_an_operator_that_is_not_there_is_the_first_obstacle(
    cluster: tool.Cluster, playground: Playground, installation: Installation
) -> None:
    api, home = installation.api, {"namespace": installation.namespace}
    deployment = api.get("deployments", installation.release, **home)
    replicas = deployment["spec"]["replicas"]
    api.patch("deployments", installation.release, {"spec": {"replicas": 0}}, **home)
    try:

        def gone() -> bool:
            # One that is ending serves to its last moment.
            return not api.list("pods", namespace=installation.namespace, labels="app.kubernetes.io/component=operator")

        playground.wait("every operator to be gone", gone, name="none", timeout=60)
        name = playground.apply(job("unseen").command(*TRAINS))

        explained = Command(cluster, playground.namespace).run("explain", name)

        for words in ("no status yet", "Obstacle: no pod of the operator", f"kubectl -n {installation.namespace}"):
            assert words in flat(explained.stdout), explained.stdout
    finally:
        api.patch("deployments", installation.release, {"spec": {"replicas": replicas}}, **home)
    playground.wait_phase(name, "Succeeded", timeout=120)
