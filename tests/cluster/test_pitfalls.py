"""What users of training operators suffered from, one test for each kind that no other file here is about.

The numbers are those of docs/pitfalls.md.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kit import (
    Installation,
    JobBuilder,
    Playground,
    Refused,
    job,
    kill,
    main_process,
    program,
    wait_for,
)
from tests.cluster.kit.slots import Slots
from tests.cluster.tool import api as tool

pytestmark = pytest.mark.cluster

TRAINS = ("python3", "-c", "print('trained')")
SLEEPS = ("python3", "-c", "import time; time.sleep(3600)")
NOWHERE = {"nodeSelector": {"nowhere": "at-all"}}
EATS_MEMORY = "import time; hoard = bytearray(400 * 2**20); time.sleep(60)"
OPERATOR = "regatta"


@pytest.fixture(scope="module")
def place(make_place: Callable[[str], Playground]) -> Playground:
    return make_place("pitfalls")


@pytest.fixture
def slots(place: Playground) -> Iterator[Slots]:
    made = Slots(place.api)
    yield made
    made.clear()


@contextlib.contextmanager
def no_operator(installation: Installation) -> Iterator[None]:
    """A time in which nobody answers for jobs."""
    api, namespace = installation.api, installation.namespace

    def scale(replicas: int) -> None:
        api.patch("deployments", OPERATOR, {"spec": {"replicas": replicas}}, namespace=namespace)

    before = api.get("deployments", OPERATOR, namespace=namespace)["spec"]["replicas"]
    scale(0)
    try:
        wait_for("the operator to be gone", lambda: not installation.pods(), timeout=60)
        yield
    finally:
        scale(before)
        wait_for("an operator that leads", installation.leader, timeout=90)


def created_at(pod: dict[str, Any]) -> float:
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()


def of_attempt(place: Playground, name: str, attempt: int) -> list[dict[str, Any]]:
    return [pod for pod in place.pods(name) if pod["metadata"]["labels"]["regatta.dev/attempt"] == str(attempt)]


@pytest.mark.pitfall(6)
def test_a_job_that_runs_out_of_memory_ends_when_its_budget_does(place: Playground) -> None:
    limits = {"limits": {"memory": "128Mi"}}
    name = place.apply(job("oom").command("python3", "-c", EATS_MEMORY).set(resources=limits).budget(1))

    status = place.wait_phase(name, "Failed", timeout=120)

    assert (status["reason"], status["failureCounts"]) == ("OOMKilled", {"OOMKilled": 2})
    assert status["restartsUsed"] == 1
    assert "memory" in status["message"]


@pytest.mark.pitfall(6)
def test_exit_code_137_alone_is_not_called_out_of_memory(place: Playground) -> None:
    name = place.apply(job("not-oom").command("python3", "-c", "raise SystemExit(137)").budget(0))

    assert place.wait_phase(name, "Failed", timeout=60)["failureCounts"] == {"UserError": 1}


@pytest.mark.pitfall(8, 9)
def test_a_restart_waits_neither_for_pods_that_train_on_nor_for_pods_that_end_slowly(place: Playground) -> None:
    name = place.apply(job("slow-to-end").workers(2).source(train=program("waits")).env(STUBBORN="1"))
    place.wait_phase(name, "Running", timeout=60)
    first = of_attempt(place, name, 1)
    process = main_process(first[0], container="trainer")
    assert process is not None

    kill(process)
    killed = time.time()
    place.wait_status(
        name, "a second attempt that runs", lambda s: (s.get("phase"), s["attempt"]) == ("Running", 2), timeout=60
    )
    again = of_attempt(place, name, 2)

    assert max(map(created_at, again)) - killed < 10
    place.delete(name)


@pytest.mark.pitfall(10)
def test_a_restart_is_told_in_the_status_with_its_cause(place: Playground) -> None:
    code = "import os, sys; sys.exit(7 * (os.environ['REGATTA_ATTEMPT'] == '1'))"
    # One restart of the budget is kept for a new attempt, so the first is in place and the second is not.
    name = place.apply(job("tells").command("python3", "-c", code).budget(2))

    status = place.wait_phase(name, "Succeeded", timeout=90)

    assert [(f["action"], f["cause"], f["exitCode"]) for f in status["failures"]] == [
        ("RestartedInPlace", "UserError", 7),
        ("NewAttempt", "UserError", 7),
    ]
    assert (status["attempt"], status["restartsUsed"], status["restartsInPlace"]) == (2, 2, 1)
    assert all(failure["lostSeconds"] >= 0 for failure in status["failures"])


@pytest.mark.pitfall(11)
def test_workers_that_come_before_the_first_one_wait_and_say_for_whom(place: Playground, slots: Slots) -> None:
    slots.offer(1, 0)
    waits = (
        job("apart")
        .workers(2)
        .command(*TRAINS)
        .set(gpusPerWorker=1, gpuResource=slots.resource, scheduling={"gang": "None"})
    )
    name = place.apply(waits)

    def says() -> bool:
        running = [pod for pod in place.pods(name) if pod["spec"].get("nodeName")]
        log = place.log(running[0]["metadata"]["name"]) if running else ""
        return "waiting for worker" in log or "worker 0" in log

    place.wait("the worker that runs to say for whom it waits", says, name=name, timeout=60)
    assert place.status(name)["reason"] in {"Unschedulable", "WaitingForWorkers"}
    slots.offer(2, 0)

    status = place.wait_phase(name, "Succeeded", timeout=90)
    assert (status["attempt"], status.get("failureCounts")) == (1, None)


@pytest.mark.pitfall(12)
def test_waiting_for_capacity_costs_no_try(place: Playground, slots: Slots) -> None:
    slots.offer(0, 0)
    waits = job("patient").command(*TRAINS).set(gpusPerWorker=1, gpuResource=slots.resource).budget(0)
    name = place.apply(waits)
    place.wait_status(name, "Unschedulable", lambda s: s.get("reason") == "Unschedulable", timeout=30)
    time.sleep(5)
    slots.offer(1, 0)

    status = place.wait_phase(name, "Succeeded", timeout=60)
    assert (status["attempt"], status["restartsUsed"]) == (1, 0)


@pytest.mark.pitfall(13, 14)
def test_many_workers_are_created_at_once_with_an_environment_that_does_not_grow(place: Playground) -> None:
    sizes = []
    for count in (2, 150):
        name = place.apply(job(f"crowd-{count}").workers(count).command(*SLEEPS).set(scheduling=NOWHERE))
        place.wait(f"{count} pods", lambda n=name, c=count: len(place.pods(n)) == c, name=name, timeout=60)
        pods = place.pods(name)
        sizes.append(max(len(json.dumps(pod["spec"]["containers"][0]["env"])) for pod in pods))
        assert max(map(created_at, pods)) - min(map(created_at, pods)) < 10
        place.delete(name)

    assert abs(sizes[1] - sizes[0]) < 20  # numbers get longer, lists do not


@pytest.mark.pitfall(15)
def test_the_operator_may_not_even_list_config_maps_and_secrets(installation: Installation, place: Playground) -> None:
    def allowed(resource: str, verb: str) -> bool:
        account = f"system:serviceaccount:{installation.namespace}:{OPERATOR}"
        attributes = {"namespace": place.namespace, "verb": verb, "resource": resource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": account, "resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(installation.api.request("POST", path, body=review)["status"]["allowed"])

    assert allowed("configmaps", "create")
    assert not any(allowed("configmaps", verb) for verb in ("list", "watch"))
    assert not any(allowed("secrets", verb) for verb in ("get", "list", "watch"))


@pytest.mark.pitfall(17)
def test_a_sidecar_that_runs_on_does_not_keep_the_job_alive(place: Playground) -> None:
    sidecar = {
        "name": "logs",
        "image": place.installation.pytorch_image,
        "command": ["python3", "-c", "import time; time.sleep(3600)"],
    }
    name = place.apply(job("beside").command(*TRAINS).set(podTemplate={"spec": {"containers": [sidecar]}}))

    place.wait_phase(name, "Succeeded", timeout=60)

    wait_for("the pod that still runs to be deleted", lambda: not place.pods(name), timeout=60)


@pytest.mark.pitfall(21)
def test_what_changes_faster_than_anybody_looks_ends_as_it_was_left(place: Playground) -> None:
    name = place.apply(job("flicker").command(*TRAINS))
    for round_ in range(10):
        place.api.patch("trainingjobs", name, {"spec": {"suspend": round_ % 2 == 0}}, namespace=place.namespace)

    assert place.wait_phase(name, "Succeeded", timeout=90)["phase"] == "Succeeded"


@pytest.mark.pitfall(2, 22)
def test_a_namespace_goes_though_no_operator_is_there(installation: Installation, make_place: Any) -> None:
    home = make_place("goes")
    name = home.apply(job("left").workers(2).command(*SLEEPS))
    home.wait_phase(name, "Running", timeout=60)
    with no_operator(installation):
        home.api.delete("namespaces", home.namespace)

        wait_for("the namespace to be gone", lambda: home.api.find("namespaces", home.namespace) is None, timeout=90)


@pytest.mark.pitfall(23)
def test_wrong_fields_are_refused_and_right_ones_taken_while_no_operator_runs(
    installation: Installation, place: Playground
) -> None:
    with no_operator(installation):
        with pytest.raises(Refused, match=r"spec\.workers"):
            place.apply(job("wrong").workers(0).command(*TRAINS))
        name = place.apply(job("right").command(*TRAINS))

    assert place.wait_phase(name, "Succeeded", timeout=90)


@pytest.mark.pitfall(24)
def test_the_crd_fits_into_the_annotation_of_a_client_side_apply(cluster: tool.Cluster) -> None:
    crds = Path(__file__).resolve().parents[2] / "crds"
    command = [*cluster.kubectl(), "apply", "--dry-run=server", "--filename", str(crds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.pitfall(25)
def test_the_series_of_a_deleted_job_go_with_it(place: Playground, make_place: Any) -> None:
    home = make_place("series")
    name = home.apply(job("counted").command(*TRAINS))
    home.wait_phase(name, "Succeeded", timeout=60)

    def series() -> str:
        leader = place.installation.leader()
        path = f"/api/v1/namespaces/{place.installation.namespace}/pods/{leader}:8080/proxy/metrics/jobs"
        return str(place.api.request("GET", path)) if leader else ""

    wait_for("the job's series", lambda: home.namespace in series(), timeout=30)
    home.delete(name)

    wait_for("the job's series to be gone", lambda: home.namespace not in series(), timeout=30)


@pytest.mark.pitfall(26)
def test_a_job_that_fails_frees_its_other_pods_itself(place: Playground) -> None:
    grace = {"spec": {"terminationGracePeriodSeconds": 3}}
    ends = job("frees").workers(2).source(train=program("ends_or_waits")).budget(0).set(podTemplate=grace)
    name = place.apply(ends)
    place.wait_phase(name, "Failed", timeout=60)

    def running() -> list[str]:
        return [pod["metadata"]["name"] for pod in place.pods(name) if pod["status"].get("phase") == "Running"]

    # The job is still there, so no garbage collection has a reason to touch its pods.
    wait_for("nothing to run any more", lambda: not running(), timeout=30)
    assert place.status(name)["phase"] == "Failed"


@pytest.mark.pitfall(28)
def test_a_preemption_is_told_as_one_and_costs_no_restart(place: Playground, slots: Slots) -> None:
    slots.offer(1, 0)
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    urgent = f"urgent-{uuid.uuid4().hex[:6]}"
    body = {"metadata": {"name": urgent}, "value": 1000}
    place.api.request("POST", classes, body=body)

    def wants_a_slot(name: str, *command: str) -> JobBuilder:
        return job(name).command(*command).budget(0).set(gpusPerWorker=1, gpuResource=slots.resource)

    try:
        code = "import os, time; time.sleep(3600 * (os.environ['REGATTA_ATTEMPT'] == '1'))"
        low = place.apply(wants_a_slot("low", "python3", "-c", code))
        place.wait_phase(low, "Running", timeout=60)
        high = place.apply(wants_a_slot("high", *TRAINS).set(scheduling={"priorityClassName": urgent}))

        place.wait_phase(high, "Succeeded", timeout=60)
        status = place.wait_phase(low, "Succeeded", timeout=60)
    finally:
        place.api.request("DELETE", f"{classes}/{urgent}")
    assert (status["attempt"], status["restartsUsed"]) == (2, 0)
    assert status["failureCounts"] == {"Preempted": 1}
    assert status["failures"][0]["node"]
