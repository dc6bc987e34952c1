"""One plain Keras script trains on several processes of either backend as it does in one, or ends with words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cluster.kit import JobBuilder, Playground, job, kill, program, results, training_process

pytestmark = pytest.mark.cluster

EPOCHS = 12
PATIENCE = 240
"""Seconds: importing Keras and its backend takes half a minute of a machine that has other things to do."""


def keras(name: str, backend: str) -> JobBuilder:
    builder = job(name).framework("Keras").set(kerasBackend=backend)
    return builder.resources(cpu="100m", memory="500Mi").budget(3).source(train=program("keras_plain"))


def logs(place: Playground, name: str) -> list[str]:
    return [place.log(pod["metadata"]["name"]) for pod in place.pods(name)]


def losses(log: str) -> dict[int, float]:
    """The loss after each epoch, as a log tells it; of epochs that were done twice, the last."""
    told: list[dict[str, Any]] = [json.loads(line) for line in re.findall(r"EPOCH (\{.*\})", log)]
    return {entry["epoch"]: entry["loss"] for entry in told}


def kill_one_after(place: Playground, name: str, *, epoch: int, rank: int) -> None:
    """Kill a training process on worker 1 when all processes have done that many epochs."""

    def done() -> list[str] | None:
        found = logs(place, name)
        return found if all(epoch in losses(log) for log in found) else None

    place.wait(f"{name} to have done epoch {epoch}", done, name=name, timeout=PATIENCE)
    victim = training_process(place.pods(name)[1], rank=rank)
    assert victim is not None
    kill(victim)


def test_one_script_trains_as_one_on_either_backend_and_goes_on_from_its_checkpoints(playground: Playground) -> None:
    playground.apply(keras("reference", "torch").env(EPOCHS=str(EPOCHS)))
    shared = {"EPOCHS": str(EPOCHS), "EPOCH_PAUSE": "1"}
    for name, processes in (("torch", 2), ("tensorflow", 1)):
        several = keras(name, name).workers(2).processes(processes).spread().checkpoint({"emptyDir": {}})
        playground.apply(several.env(**shared))

    kill_one_after(playground, "torch", epoch=3, rank=3)
    kill_one_after(playground, "tensorflow", epoch=3, rank=1)
    statuses = [playground.wait_phase(name, "Succeeded", timeout=PATIENCE) for name in ("torch", "tensorflow")]
    playground.wait_phase("reference", "Succeeded", timeout=PATIENCE)

    assert [(status["attempt"], status["restartsInPlace"]) for status in statuses] == [(1, 1), (1, 1)]
    [alone_log] = logs(playground, "reference")
    [alone] = results(alone_log)
    assert (alone["backend"], alone["counted"]) == ("torch", 1)
    for name, world, tolerance in (("torch", 4, 1e-5), ("tensorflow", 2, 1e-4)):
        found = logs(playground, name)
        facts = [fact for log in found for fact in results(log)]
        assert sorted(fact["rank"] for fact in facts) == list(range(world))
        assert {fact["backend"] for fact in facts} == {name}
        assert {(fact["counted"], fact["numbers"]) for fact in facts} == {(world, world * (world + 1) / 2)}
        for fact in facts:
            assert fact["weights"] == pytest.approx(alone["weights"], abs=tolerance)
            assert fact["evaluated"] == pytest.approx(alone["evaluated"], abs=tolerance)
        for log in found:
            begun = [int(step) for step in re.findall(r"starts after step (\d+)", log)]
            assert max(begun) >= 3
            assert losses(log) == pytest.approx(losses(alone_log), abs=tolerance)


GENERATOR = """
import keras, numpy
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
batches = ((numpy.ones((8, 4)), numpy.ones((8, 1))) for _ in range(8))
model.fit(batches, verbose=0)
print("trained")
"""
LOOP = """
import keras, numpy
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
for _ in range(3):
    model.train_on_batch(numpy.ones((8, 4)), numpy.ones((8, 1)))
print("trained")
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param(GENERATOR, "regatta_runtime.keras.sharded(data)", id="data nobody can deal out"),
        pytest.param(LOOP, "regatta_runtime.keras.data_parallel(model)", id="a loop without fit"),
    ],
)
def test_a_program_whose_processes_would_train_apart_fails_with_the_line_that_is_missing(
    playground: Playground, code: str, words: str
) -> None:
    playground.apply(keras("apart", "torch").source(train=code).workers(2))

    status = playground.wait_phase("apart", "Failed", timeout=PATIENCE)

    assert (status["reason"], status["attempt"], status["failureCounts"]) == ("ConfigError", 1, {"ConfigError": 1})
    assert words in status["message"]
    assert all("trained" not in log for log in logs(playground, "apart"))
