"""What a worker pod holds, whatever the user writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from regatta.api import names
from regatta.plan.pods import headless_service, worker_pods
from tests.builders import INSTALLATION, UID, JobBuilder, job


def body(builder: JobBuilder, *, worker: int = 0, attempt: int = 1, installation: Any = INSTALLATION) -> Any:
    (create,) = worker_pods(
        builder.obj(), attempt=attempt, workers=[worker], installation=installation, restarts_left=2
    )
    return create.body


def trainer(pod: Any) -> Any:
    return next(c for c in pod["spec"]["containers"] if c["name"] == "trainer")


def env(pod: Any) -> dict[str, str]:
    return {e["name"]: e.get("value", "") for e in trainer(pod)["env"]}


def test_its_name_is_its_host_name_and_resolves_under_the_headless_service() -> None:
    pod = body(job(), worker=1, attempt=3)
    assert pod["metadata"]["name"] == pod["spec"]["hostname"] == "job-a-3-1"
    assert pod["spec"]["subdomain"] == headless_service(job().obj()).name
    assert env(pod)["REGATTA_COORDINATOR"] == "job-a-3-0.job-a:9465"


def test_it_carries_the_labels_and_the_owner_by_which_it_is_found_and_deleted() -> None:
    pod = body(job(), worker=1)
    assert pod["metadata"]["labels"] == {
        "regatta.dev/job": "job-a",
        "regatta.dev/attempt": "1",
        "regatta.dev/worker": "1",
        "app.kubernetes.io/managed-by": "regatta",
        "app.kubernetes.io/component": "worker",
    }
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("TrainingJob", UID, True)


def test_the_service_finds_workers_before_they_are_ready() -> None:
    service = headless_service(job().obj()).body["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["python", "train.py"], "python"),
        (["/opt/venv/bin/python3.11", "-u", "train.py"], "/opt/venv/bin/python3.11"),
        (["torchrun", "train.py"], "python3"),
        (["/bin/pythonista", "x"], "python3"),
    ],
)
def test_the_launcher_runs_under_the_python_of_the_users_command(command: list[str], expected: str) -> None:
    assert trainer(body(job(command=command)))["command"] == [expected, "/regatta", "--", *command]


def test_a_pod_does_not_grow_with_the_number_of_workers() -> None:
    small, large = (orjson.dumps(body(job().workers(count))) for count in (2, 9999))
    assert len(large) - len(small) == len("9999") - len("2")


def test_gpus_are_limits_and_give_one_process_each() -> None:
    pod = body(job(gpusPerWorker=8, gpuResource="amd.com/gpu", resources={"limits": {"memory": "1Gi"}}))
    assert trainer(pod)["resources"]["limits"] == {"memory": "1Gi", "amd.com/gpu": "8"}
    assert env(pod)["REGATTA_PROCESSES"] == "8"


@pytest.mark.parametrize(
    ("fields", "threads"),
    [
        ({"resources": {"limits": {"cpu": "9"}}, "processesPerWorker": 2}, "4"),
        ({"resources": {"limits": {"cpu": "500m"}}}, "1"),
        ({}, None),
        ({"resources": {"limits": {"cpu": "8"}}, "env": [{"name": "OMP_NUM_THREADS", "value": "3"}]}, "3"),
    ],
)
def test_threads_follow_the_cpu_limit_unless_the_user_sets_them(fields: dict[str, Any], threads: str | None) -> None:
    pod = body(job(**fields))
    assert env(pod).get("OMP_NUM_THREADS") == threads
    assert len({e["name"] for e in trainer(pod)["env"]}) == len(trainer(pod)["env"])


def test_it_has_shared_memory_no_token_and_no_service_variables() -> None:
    spec = body(job())["spec"]
    assert {"name": "dshm", "emptyDir": {"medium": "Memory"}} in spec["volumes"]
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["terminationGracePeriodSeconds"] >= 60


def test_a_default_image_runs_restricted_and_a_foreign_one_may_be_root() -> None:
    ours, foreign = body(job()), body(job(image="example.test/mine:1"))
    assert ours["spec"]["securityContext"]["runAsNonRoot"] is True
    assert "runAsNonRoot" not in foreign["spec"]["securityContext"]
    for pod in (ours, foreign):
        assert trainer(pod)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_runtime_comes_from_an_image_volume_or_an_init_container() -> None:
    mounted = body(job())["spec"]
    assert "initContainers" not in mounted
    assert {"reference": "example.test/runtime:1", "pullPolicy": "IfNotPresent"} in [
        v.get("image") for v in mounted["volumes"]
    ]
    copied = body(job(), installation=replace(INSTALLATION, image_volumes=False))["spec"]
    (init,) = copied["initContainers"]
    assert init["image"] == "example.test/operator:1"
    assert all("image" not in v for v in copied["volumes"])


def test_without_the_runtime_the_command_is_left_alone_and_the_group_is_in_the_environment() -> None:
    pod = body(job(framework="Custom", runtime="Off", image="i", command=["/app"], workers=3), worker=2)
    assert trainer(pod)["command"] == ["/app"]
    assert "startupProbe" not in trainer(pod)
    assert all(v["name"] != "regatta-runtime" for v in pod["spec"]["volumes"])
    assert {k: env(pod)[k] for k in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "REGATTA_WORKER")} == {
        "RANK": "2",
        "WORLD_SIZE": "3",
        "MASTER_ADDR": "job-a-1-0.job-a",
        "REGATTA_WORKER": "2",
    }


@pytest.mark.parametrize(("backend", "image"), [("torch", "keras"), ("tensorflow", "tensorflow")])
def test_keras_trains_in_an_image_that_has_its_backend(backend: str, image: str) -> None:
    pod = body(job(framework="Keras", kerasBackend=backend, workers=2))
    assert trainer(pod)["image"] == f"example.test/{image}:1"
    assert env(pod)["REGATTA_KERAS_BACKEND"] == backend


def test_keras_without_the_runtime_is_told_its_backend() -> None:
    found = env(body(job(framework="Keras", kerasBackend="torch", workers=2, runtime="Off")))
    assert (found["KERAS_BACKEND"], found["PET_NNODES"]) == ("torch", "2")
    assert env(body(job(framework="Keras", kerasBackend="tensorflow", workers=1, runtime="Off", compile=True)))[
        "TF_XLA_FLAGS"
    ]


def test_tensorflow_is_compiled_by_the_launcher_or_without_one_by_the_pods_environment() -> None:
    launched = env(body(job(framework="TensorFlow", workers=2, compile=True)))
    assert launched["REGATTA_COMPILE"] == "1"
    assert launched.keys().isdisjoint({"TF_CONFIG", "TF_XLA_FLAGS"})
    alone = job(framework="TensorFlow", workers=1, runtime="Off", compile=True)
    assert env(body(alone))["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"
    own = job(
        framework="TensorFlow", workers=1, runtime="Off", compile=True, env=[{"name": "TF_XLA_FLAGS", "value": "x"}]
    )
    assert env(body(own))["TF_XLA_FLAGS"] == "x"
    assert "REGATTA_COMPILE" not in env(body(job(framework="TensorFlow")))


def test_a_checkpoint_volume_is_mounted_where_the_program_is_told() -> None:
    pod = body(job(checkpoint={"volume": {"persistentVolumeClaim": {"claimName": "c"}}, "path": "/ckpt"}))
    assert {"name": "regatta-checkpoint", "persistentVolumeClaim": {"claimName": "c"}} in pod["spec"]["volumes"]
    assert env(pod)["REGATTA_CHECKPOINT_DIR"] == "/ckpt"


def test_an_overlay_adds_to_every_worker_and_cannot_change_who_it_is() -> None:
    overlay = {
        "metadata": {"labels": {"team": "vision"}, "annotations": {"a": "b"}},
        "spec": {
            "priority": 5,
            "hostname": "impostor",
            "containers": [{"name": "trainer", "env": [{"name": "MINE", "value": "1"}]}, {"name": "log", "image": "l"}],
        },
    }
    pod = body(job(podTemplate=overlay), worker=1)
    assert pod["metadata"]["labels"]["team"] == "vision"
    assert pod["metadata"]["labels"][names.LABEL_WORKER] == "1"
    assert pod["metadata"]["annotations"] == {"a": "b"}
    assert pod["spec"]["hostname"] == "job-a-1-1"
    assert env(pod)["MINE"] == "1"
    assert env(pod)["REGATTA_WORKER"] == "1"
    assert [c["name"] for c in pod["spec"]["containers"]] == ["trainer", "log"]


def test_workers_of_one_attempt_share_a_token_that_no_other_attempt_has() -> None:
    first = [env(body(job(), worker=w, attempt=1))["REGATTA_TOKEN"] for w in (0, 1)]
    assert first[0] == first[1] != env(body(job(), attempt=2))["REGATTA_TOKEN"]


def test_a_launcher_that_hangs_is_found_by_the_kubelet_unless_the_user_probes_otherwise() -> None:
    probe = trainer(body(job()))["livenessProbe"]
    assert (probe["httpGet"]["path"], probe["periodSeconds"] * probe["failureThreshold"]) == ("/healthz", 120)

    own = {"exec": {"command": ["true"]}, "periodSeconds": 60}
    containers = [{"name": "trainer", "livenessProbe": own}]
    assert trainer(body(job(podTemplate={"spec": {"containers": containers}})))["livenessProbe"] == own

    assert "livenessProbe" not in trainer(body(job(runtime="Off", image="registry.example/app:1")))
