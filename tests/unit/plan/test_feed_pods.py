"""What a worker pod of a job with a feed holds."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.api.batches import SLOTS, buffer_bytes
from regatta.api.core import PIPELINE_STEPS
from regatta.api.preprocessing import Preprocessing
from regatta.plan.pods import worker_pods
from regatta_feed.pipeline import Field, Schema
from regatta_feed.ring import slots_of
from regatta_feed.spec import read_spec
from regatta_feed.steps import STEPS
from tests.builders import INSTALLATION, JobBuilder, job

SOURCE = {"uri": "/data/train", "format": "ImageFolder", "volume": {"persistentVolumeClaim": {"claimName": "photos"}}}
PIPELINE = [{"decodeImage": {}}, {"randomResizedCrop": {"size": 224}}, {"scale": {}}]
MIB = 1 << 20


def fed(spec: dict[str, Any] | None = None, **fields: Any) -> JobBuilder:
    return job(preprocessing={"source": SOURCE, "pipeline": PIPELINE, "batchSize": 64, **fields}, **(spec or {}))


def pod(builder: JobBuilder, *, worker: int = 0) -> Any:
    made = builder.obj()
    assert not made.problems
    (create,) = worker_pods(made, attempt=1, workers=[worker], installation=INSTALLATION, restarts_left=2)
    return create.body["spec"]


def feed(builder: JobBuilder) -> Any:
    return next(c for c in pod(builder)["initContainers"] if c["name"] == "feed")


def option(container: Any, name: str) -> str:
    found: str = container["args"][container["args"].index(name) + 1]
    return found


def env(container: Any) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def volume(spec: Any, name: str) -> Any:
    return next(each for each in spec["volumes"] if each["name"] == name)


def test_a_job_without_preprocessing_has_no_feed() -> None:
    spec = pod(job())

    assert "initContainers" not in spec
    assert not [each for each in spec["volumes"] if each["name"].startswith("regatta-feed")]


def test_the_feed_is_a_native_sidecar_of_the_installations_image() -> None:
    container = feed(fed())

    assert container["restartPolicy"] == "Always"
    assert container["image"] == "example.test/feed:1"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_program_and_feed_meet_in_one_place_in_memory() -> None:
    spec = pod(fed())
    trainer = spec["containers"][0]
    mounts = [each["mountPath"] for each in trainer["volumeMounts"] if each["name"] == "regatta-feed"]

    assert volume(spec, "regatta-feed")["emptyDir"]["medium"] == "Memory"
    assert env(trainer)["REGATTA_FEED"] == option(spec["initContainers"][0], "--folder") == mounts[0]
    assert mounts[0] in [each["mountPath"] for each in spec["initContainers"][0]["volumeMounts"]]


def test_the_memory_of_the_batches_is_counted_for_the_sidecar() -> None:
    size = int(volume(pod(fed()), "regatta-feed")["emptyDir"]["sizeLimit"]) // 2
    assert size == pytest.approx(SLOTS * 64 * 3 * 224 * 224 * 4, rel=0.02)

    assert feed(fed())["resources"] == {"requests": {"memory": str(size)}}
    assert feed(fed(resources={"limits": {"memory": "1Gi", "cpu": "2"}}))["resources"] == {
        "limits": {"memory": str(size + 1024 * MIB), "cpu": "2"}
    }
    both = feed(fed(resources={"limits": {"memory": "1Gi"}, "requests": {"memory": "512Mi"}}))["resources"]
    assert both["requests"]["memory"] == str(size + 512 * MIB)


def test_every_process_of_the_pod_has_a_queue_and_a_share_of_the_memory() -> None:
    builder = fed({"workers": 3, "processesPerWorker": 2})
    container = feed(builder)

    assert (option(container, "--queues"), option(container, "--world")) == ("2", "6")
    assert option(container, "--worker") == "$(REGATTA_WORKER)"
    assert env(container)["REGATTA_WORKER"] == {"fieldRef": {"fieldPath": "metadata.labels['regatta.dev/worker']"}}
    one, two = (int(volume(pod(each), "regatta-feed")["emptyDir"]["sizeLimit"]) // 2 for each in (fed(), builder))
    assert two - MIB == 2 * (one - MIB)


@pytest.mark.parametrize(
    ("spec", "layout"),
    [
        pytest.param({}, "NCHW", id="PyTorch"),
        pytest.param({"framework": "TensorFlow"}, "NHWC", id="TensorFlow"),
        pytest.param({"framework": "Keras", "kerasBackend": "tensorflow"}, "NHWC", id="Keras on TensorFlow"),
    ],
)
def test_images_are_laid_out_as_the_framework_wants_them(spec: dict[str, Any], layout: str) -> None:
    assert option(feed(fed(spec)), "--layout") == layout


def test_the_sidecar_reads_the_pipeline_that_the_user_wrote() -> None:
    told = env(feed(fed(shuffle={"seed": 7}, dropLast=False, onError="Fail", epochs=3, cache="Decoded")))

    spec = read_spec(json.loads(told["REGATTA_FEED_SPEC"]))

    assert (spec.batch_size, spec.seed, spec.drop_last, spec.epochs) == (64, 7, False, 3)
    assert [step.name for step in spec.steps] == ["decodeImage", "randomResizedCrop", "scale"]


def test_what_the_kubelet_would_replace_reaches_the_sidecar_as_it_was_written() -> None:
    text = env(feed(fed(source={**SOURCE, "label": "$(HOME)"})))["REGATTA_FEED_SPEC"]

    assert "$" not in text
    assert json.loads(text)["spec"]["preprocessing"]["source"]["label"] == "$(HOME)"


def test_the_data_is_mounted_where_the_uri_says_or_above_it_and_read_only() -> None:
    at_uri = next(each for each in feed(fed())["volumeMounts"] if each["name"] == "regatta-feed-data")
    above = feed(fed(source={**SOURCE, "mountPath": "/data"}))["volumeMounts"]

    assert at_uri == {"name": "regatta-feed-data", "mountPath": "/data/train", "readOnly": True}
    assert [each["mountPath"] for each in above if each["name"] == "regatta-feed-data"] == ["/data"]


def test_without_a_volume_of_its_own_the_sidecar_sees_the_programs_data() -> None:
    spec = {
        "volumes": [{"name": "data", "emptyDir": {}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    container = feed(fed(spec, source={"uri": "/data/train", "format": "ImageFolder"}))

    assert {"name": "data", "mountPath": "/data", "readOnly": True} in container["volumeMounts"]


def test_a_step_of_the_users_own_finds_the_jobs_source() -> None:
    spec = {"source": {"inline": {"mine.py": "def make(value, random): return value"}}}
    container = feed(fed(spec, pipeline=[{"python": {"module": "mine", "function": "make"}}], bufferMemory="64Mi"))

    assert container["workingDir"] == "/workspace"
    assert "/workspace" in [each["mountPath"] for each in container["volumeMounts"]]
    assert volume(pod(fed(spec)), "regatta-source")


@pytest.mark.parametrize(
    ("resources", "processes"),
    [
        pytest.param({"limits": {"cpu": "2500m"}, "requests": {"cpu": "1"}}, "3", id="the limit, rounded up"),
        pytest.param({"requests": {"cpu": "2"}}, "2", id="else the request"),
        pytest.param({"requests": {"cpu": "100m"}}, "1", id="at least one"),
    ],
)
def test_as_many_processes_as_it_has_cpus(resources: dict[str, Any], processes: str) -> None:
    assert option(feed(fed(resources=resources)), "--processes") == processes


def test_without_cpus_in_the_spec_the_sidecar_looks_itself() -> None:
    assert "--processes" not in feed(fed())["args"]


def test_operator_and_feed_know_the_same_steps() -> None:
    assert set(PIPELINE_STEPS) == set(STEPS)


@given(
    height=st.integers(1, 64),
    width=st.integers(1, 64),
    channels=st.sampled_from((1, 3)),
    batch=st.integers(1, 64),
    processes=st.integers(1, 4),
    drop_last=st.booleans(),
    after=st.sampled_from(([], ["scale"], ["cast"], ["oneHot"], ["scale", "oneHot"])),
    order=st.sampled_from(("NCHW", "NHWC")),
)
def test_the_memory_that_is_asked_for_is_what_the_feed_takes(
    *,
    height: int,
    width: int,
    channels: int,
    batch: int,
    processes: int,
    drop_last: bool,
    after: list[str],
    order: str,
) -> None:
    steps: list[dict[str, Any]] = [
        {"decodeImage": {"channels": channels}},
        {"resize": {"size": [height, width]}},
        {"layout": {"order": order}},
    ]
    parameters: dict[str, Any] = {"cast": {"dtype": "float64"}, "oneHot": {"classes": 11}}
    steps += [{name: parameters.get(name, {})} for name in after]
    raw = {"source": {"uri": "/d", "format": "ImageFolder"}, "pipeline": steps, "batchSize": batch}
    spec = Preprocessing.model_validate({**raw, "dropLast": drop_last})
    dtype = "float32" if "scale" in after else "float64" if "cast" in after else "uint8"
    label = Field("label", "float32", (11,)) if "oneHot" in after else Field("label", "int64", ())
    schema = Schema((Field("data", dtype, (channels, height, width)), label), order, True)

    asked = buffer_bytes(spec, processes=processes)
    largest = batch + (not drop_last)
    taken = processes * SLOTS * slots_of(schema, largest).size

    assert asked is not None
    assert taken <= asked <= taken + 2 * MIB + processes * SLOTS * 4096 + taken * 8 / math.prod(schema.fields[0].shape)
