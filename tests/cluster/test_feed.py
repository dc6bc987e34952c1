"""The feed as a sidecar: it trains both frameworks from one folder; whatever dies, no batch is lost or seen twice."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kit import JobBuilder, Playground, job, program
from tests.cluster.kit.photographs import photographs, tiny
from tests.cluster.kit.processes import kill, main_process, training_process

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "feed-photographs"
PATIENCE = 240
SAMPLES, EPOCHS, BATCH = 96, 4, 8
PIPELINE = [{"decodeImage": {}}, {"randomResizedCrop": {"size": 16}}, {"scale": {}}]
TRUNCATED, EMPTY = b"\xff\xd8\xff\xe0 cut off", b""


def fed(name: str, **block: Any) -> JobBuilder:
    """A job whose program writes down what it reads."""
    preprocessing: dict[str, Any] = {
        "source": {"uri": "/data", "format": "ImageFolder", "volume": {"persistentVolumeClaim": {"claimName": "data"}}},
        "pipeline": PIPELINE,
        "batchSize": BATCH,
        "epochs": EPOCHS,
        "shuffle": {"seed": 3},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        **block,
    }
    builder = job(name).source(train=program("feed_reads")).resources(cpu="100m", memory="256Mi").budget(0)
    return builder.set(preprocessing=preprocessing).checkpoint({"emptyDir": {}})


def feed_of(pod: dict[str, Any]) -> dict[str, Any]:
    status: dict[str, Any]
    (status,) = [each for each in pod["status"]["initContainerStatuses"] if each["name"] == "feed"]
    return status


def steps(place: Playground, name: str, worker: int = 0) -> int:
    pods = place.pods(name)
    return place.log(pods[worker]["metadata"]["name"]).count("step ") if len(pods) > worker else 0


def wait_steps(place: Playground, name: str, count: int) -> None:
    def read() -> bool:
        return steps(place, name) >= count

    place.wait(f"{name} to have read {count} batches", read, name=name, timeout=PATIENCE)


def seen(folder: Path) -> list[dict[str, Any]]:
    """What all ranks have written down, in the order of each."""
    return [json.loads(line) for file in sorted(folder.glob("seen-*.txt")) for line in file.read_text().splitlines()]


def metric(pod: dict[str, Any], line: str) -> float:
    """The value of one line of the metrics that a pod's feed serves."""
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:9466/metrics", timeout=10) as answer:
        text = answer.read().decode()
    [value] = re.findall(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(value)


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_two_workers_learn_real_photographs_that_a_classic_pipeline_prepares(
    playground: Playground, data: Path, framework: str
) -> None:
    photographs(data)
    manifest = yaml.safe_load((EXAMPLES / f"{framework}.yaml").read_text())
    manifest["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "data"
    name = manifest["metadata"]["name"]

    playground.api.create("trainingjobs", manifest, namespace=playground.namespace)
    status = playground.wait_phase(name, "Succeeded", timeout=PATIENCE)

    pace = status["efficiency"]
    assert pace["samplesPerSecond"] * pace["stepSeconds"] == pytest.approx(2 * 16, rel=0.01)
    assert 0 <= pace["dataStallFraction"] < 1
    for pod in playground.pods(name):
        [accuracy] = re.findall(r"test accuracy: (\d\.\d+)", playground.log(pod["metadata"]["name"]))
        assert float(accuracy) >= 0.9


def test_a_feed_that_is_killed_comes_back_and_no_batch_is_lost_or_read_twice(
    playground: Playground, data: Path, claim: str, shared: Path
) -> None:
    tiny(data, count=SAMPLES)
    playground.apply(fed("survives").workers(2).checkpoint(volume(claim)).env(PAUSE="0.5"))
    wait_steps(playground, "survives", 3)

    victim = main_process(playground.pods("survives")[1], container="feed")
    assert victim is not None
    kill(victim)
    status = playground.wait_phase("survives", "Succeeded", timeout=PATIENCE)

    restarts = [feed_of(pod)["restartCount"] for pod in playground.pods("survives")]
    assert restarts == [0, 1]
    assert (status["attempt"], status.get("failures", [])) == (1, [])
    assert_each_sample_once_in_each_epoch(seen(shared))


def test_programs_that_die_go_on_with_the_batches_they_have_not_seen_in_place_and_in_new_pods(
    playground: Playground, data: Path, claim: str, shared: Path
) -> None:
    tiny(data, count=SAMPLES)
    playground.apply(fed("resumes").workers(2).checkpoint(volume(claim)).budget(2).env(PAUSE="1"))
    wait_steps(playground, "resumes", 3)
    victim = training_process(playground.pods("resumes")[0], rank=0)
    assert victim is not None
    kill(victim)  # while it pauses: what it has read is written down
    playground.wait_status("resumes", "restarted", lambda status: status.get("restartsUsed") == 1, timeout=PATIENCE)
    playground.api.delete("pods", "resumes-1-1", namespace=playground.namespace)
    status = playground.wait_phase("resumes", "Succeeded", timeout=PATIENCE)

    assert (status["attempt"], status["restartsUsed"]) == (2, 1)
    assert_each_sample_once_in_each_epoch(seen(shared), again=2)


def assert_each_sample_once_in_each_epoch(records: list[dict[str, Any]], *, again: int = 0) -> None:
    """Of all ranks together; each death may fall between reading a batch and writing down that it was read."""
    batches = Counter(json.dumps(record) for record in records)
    assert sum(batches.values()) - len(batches) <= again
    for epoch in range(EPOCHS):
        each = [json.loads(text) for text in batches]
        labels = sorted(label for record in each if record["epoch"] == epoch for label in record["labels"])
        assert labels == list(range(SAMPLES))


def test_a_program_that_stops_reading_holds_the_feed_back_and_then_goes_on(
    playground: Playground, data: Path, claim: str, shared: Path
) -> None:
    tiny(data, count=SAMPLES)
    playground.apply(fed("rests").checkpoint(volume(claim)).env(STOPS_AT="2"))
    wait_steps(playground, "rests", 2)
    [pod] = playground.pods("rests")

    blocked = 'regatta_preprocess_time_seconds_total{state="blocked"}'
    before = metric(pod, blocked)
    playground.wait("the feed to have no room", lambda: metric(pod, blocked) > before + 1, name="rests", timeout=60)
    assert metric(pod, "regatta_preprocess_samples_total") <= (2 + 4) * BATCH
    (shared / "go").touch()

    playground.wait_phase("rests", "Succeeded", timeout=PATIENCE)
    assert_each_sample_once_in_each_epoch(seen(shared))


def test_a_program_that_keeps_every_batch_is_told_so(playground: Playground, data: Path) -> None:
    tiny(data, count=SAMPLES)
    playground.apply(fed("keeps").env(KEEPS="1"))

    status = playground.wait_phase("keeps", "Failed", timeout=PATIENCE)

    assert status["reason"] == "UserError"
    assert "all 4 batches of the feed's memory are still in use" in status["message"]


def test_a_sidecar_that_is_killed_for_memory_is_the_cause_and_is_named(playground: Playground, data: Path) -> None:
    tiny(data, count=SAMPLES)
    little = {"limits": {"memory": "24Mi"}, "requests": {"cpu": "100m"}}
    playground.apply(fed("starves", resources=little))

    status = playground.wait_phase("starves", "Failed", timeout=PATIENCE)

    assert status["reason"] == "OOMKilled"
    assert "the sidecar feed of worker 0 was killed for memory" in status["message"]
    assert "spec.preprocessing.resources.limits.memory" in status["message"]


def one_wrong_size(folder: Path) -> dict[str, Any]:
    tiny(folder, count=SAMPLES)
    return {"pipeline": [{"decodeImage": {}}, {"randomResizedCrop": {"size": -1}}], "bufferMemory": "16Mi"}


def no_data(folder: Path) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        pytest.param(one_wrong_size, "spec.preprocessing.pipeline[1].randomResizedCrop.size", id="a wrong parameter"),
        pytest.param(no_data, "/data", id="an empty volume"),
    ],
)
def test_a_feed_that_can_never_start_fails_the_job_at_once(
    playground: Playground, data: Path, prepare: Callable[[Path], dict[str, Any]], words: str
) -> None:
    playground.apply(fed("never", **prepare(data)))

    status = playground.wait_phase("never", "Failed", timeout=PATIENCE)

    assert (status["reason"], status["attempt"]) == ("ConfigError", 1)
    assert "the sidecar feed of worker 0 cannot start" in status["message"]
    assert words in status["message"]


def damage(folder: Path, *, count: int) -> None:
    for number in range(count):
        (folder / f"{number * 7:04}" / "a.jpg").write_bytes((TRUNCATED, EMPTY)[number % 2])


def test_a_few_damaged_pictures_are_replaced_and_named(playground: Playground, data: Path) -> None:
    tiny(data, count=300)
    damage(data, count=3)
    playground.apply(fed("few"))

    playground.wait_phase("few", "Succeeded", timeout=PATIENCE)

    [pod] = playground.pods("few")
    log = playground.api.log(pod["metadata"]["name"], namespace=playground.namespace, container="feed")
    assert len(re.findall(r"damaged sample .*a\.jpg", log)) == 3


def test_many_damaged_pictures_end_the_training_with_their_number(playground: Playground, data: Path) -> None:
    tiny(data, count=100)
    damage(data, count=5)
    playground.apply(fed("many"))

    status = playground.wait_phase("many", "Failed", timeout=PATIENCE)

    assert re.search(r"\d of 100 samples are damaged, more than one in a hundred", status["message"])


def volume(claim: str) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": claim}}
