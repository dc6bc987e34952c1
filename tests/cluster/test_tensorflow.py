"""TensorFlow's own programs train as one group on the real cluster, or end with words that say why they cannot."""

from __future__ import annotations

import re

import pytest

from tests.cluster.kit import JobBuilder, Playground, job, kill, program, results, training_process

pytestmark = pytest.mark.cluster

EPOCHS = 20
PATIENCE = 240
"""Seconds: importing TensorFlow and tracing a step take half a minute of a machine that has other things to do."""


def tensorflow(name: str) -> JobBuilder:
    return job(name).framework("TensorFlow").resources(cpu="100m", memory="600Mi").budget(3)


def beginnings(log: str) -> list[int]:
    """The step after which each generation in a log began."""
    return [int(step) for step in re.findall(r"starts after step (\d+)", log)]


def logs(place: Playground, name: str) -> list[str]:
    return [place.log(pod["metadata"]["name"]) for pod in place.pods(name)]


def test_two_workers_fit_as_one_and_go_on_from_checkpoints_in_place_and_in_new_pods(
    playground: Playground, claim: str
) -> None:
    code = program("keras_fit")
    playground.apply(tensorflow("reference").source(train=code).env(EPOCHS=str(EPOCHS), REPLICAS="2"))
    playground.wait_phase("reference", "Succeeded", timeout=PATIENCE)
    [reference] = results(logs(playground, "reference")[0])
    assert (reference["replicas"], reference["counted"]) == (2, 2)  # MirroredStrategy over the devices of one worker

    shared = tensorflow("killed").workers(2).spread().source(train=code)
    shared = shared.checkpoint({"persistentVolumeClaim": {"claimName": claim}})
    playground.apply(shared.env(EPOCHS=str(EPOCHS), EPOCH_PAUSE="1"))

    def saved(step: int) -> list[str]:
        def look() -> list[str] | None:
            found = logs(playground, "killed")
            return found if all(f"step {step}\n" in log for log in found) else None

        return playground.wait(f"both workers to have done step {step}", look, name="killed", timeout=PATIENCE)

    saved(3)
    victim = training_process(playground.pods("killed")[1], rank=1)
    assert victim is not None
    kill(victim)
    for log in saved(6):
        first, second = beginnings(log)
        assert first == 0
        assert 3 <= second < 6
    # At once: TensorFlow catches SIGTERM under this strategy, and would train on until the pod's grace is over.
    victim_pod = playground.pods("killed")[1]["metadata"]["name"]
    playground.api.delete("pods", victim_pod, namespace=playground.namespace, grace=0)
    status = playground.wait_phase("killed", "Succeeded", timeout=PATIENCE)

    assert (status["attempt"], status["restartsUsed"]) == (2, 1)
    for worker, log in enumerate(logs(playground, "killed")):
        [began] = beginnings(log)
        assert 6 <= began < EPOCHS
        [facts] = results(log)
        assert (facts["worker"], facts["replicas"], facts["counted"], facts["numbers"]) == (worker, 2, 2, 1 + 2)
        assert facts["weights"] == pytest.approx(reference["weights"], abs=1e-5)
        assert facts["loss"] == pytest.approx(reference["loss"], abs=1e-5)
        assert facts["evaluated"] == pytest.approx(reference["evaluated"], abs=1e-5)


def test_without_the_repair_keras_fails_as_it_does_elsewhere(playground: Playground) -> None:
    # As long as this holds, the version of the image needs the repair.
    unrepaired = tensorflow("unrepaired").workers(2).budget(0).source(train=program("keras_fit"))
    playground.apply(unrepaired.env(EPOCHS="1", REGATTA_KERAS_REPAIR="0"))

    status = playground.wait_phase("unrepaired", "Failed", timeout=PATIENCE)

    assert status["reason"] == "UserError"
    assert "PerReplica" in "".join(logs(playground, "unrepaired"))


ALONE = """
import keras, numpy
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(numpy.ones((8, 4)), numpy.ones((8, 1)), verbose=0)
print("trained")
"""
ALONE_IN_TORCH = """
import torch
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model(torch.ones(8, 4)).sum().backward()
optimizer.step()
print("trained")
"""


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        pytest.param(tensorflow("alone").source(train=ALONE), "outside of a strategy of 2 workers", id="tensorflow"),
        pytest.param(job("alone").source(train=ALONE_IN_TORCH), "init_process_group", id="pytorch"),
    ],
)
def test_a_program_that_would_train_alone_on_each_worker_fails_with_what_to_write(
    playground: Playground, builder: JobBuilder, words: str
) -> None:
    playground.apply(builder.workers(2))

    status = playground.wait_phase("alone", "Failed", timeout=PATIENCE)

    assert (status["reason"], status["attempt"], status["failureCounts"]) == ("ConfigError", 1, {"ConfigError": 1})
    assert words in status["message"]
    assert all("trained" not in log for log in logs(playground, "alone"))


WORK = """
import tensorflow as tf

@tf.function
def work(x):
    for _ in range(3):
        x = tf.tanh(x @ x) * 2.0 + x
    return tf.reduce_sum(x)

print(float(work(tf.ones((64, 64)))))
"""


def test_a_compiled_job_runs_on_xla_without_a_change_of_its_code(playground: Playground) -> None:
    playground.apply(tensorflow("compiled").source(train=WORK).set(compile=True))
    playground.apply(tensorflow("plain").source(train=WORK))
    for name in ("compiled", "plain"):
        playground.wait_phase(name, "Succeeded", timeout=PATIENCE)

    assert "Compiled cluster using XLA" in logs(playground, "compiled")[0]
    assert "Compiled cluster using XLA" not in logs(playground, "plain")[0]
