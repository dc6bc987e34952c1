"""Horovod's own programs train as one group on the real cluster, without ssh and MPI, and survive what others do."""

from __future__ import annotations

import re

import pytest

from tests.cluster.kit import JobBuilder, Playground, job, kill, program, results, training_process

pytestmark = pytest.mark.cluster

STEPS = 40
EPOCHS = 3
PATIENCE = 240
"""Seconds: importing the frameworks takes its time on a machine that has other things to do."""


def horovod(name: str) -> JobBuilder:
    return job(name).framework("Horovod").resources(cpu="100m", memory="300Mi").budget(3)


def logs(place: Playground, name: str) -> list[str]:
    return [place.log(pod["metadata"]["name"]) for pod in place.pods(name)]


def beginnings(log: str) -> list[int]:
    """The step after which each process of each generation in a log began."""
    return [int(step) for step in re.findall(r"starts after step (\d+)", log)]


def done(log: str) -> list[int]:
    return [int(step) for step in re.findall(r"step (\d+)$", log, re.MULTILINE)]


def test_two_workers_train_as_one_and_go_on_in_place_and_in_new_pods(playground: Playground, claim: str) -> None:
    code = program("horovod_torch")
    playground.apply(horovod("reference").source(train=code).env(STEPS=str(STEPS)))
    crew = horovod("killed").workers(2).processes(2).spread().source(train=code)
    crew = crew.checkpoint({"persistentVolumeClaim": {"claimName": claim}})
    playground.apply(crew.env(STEPS=str(STEPS), STEP_PAUSE="0.3"))

    def trains_again(generation: int) -> bool:
        found = logs(playground, "killed")
        return len(found) == 2 and all(
            len(beginnings(log)) == 2 * generation and max(done(log), default=0) >= beginnings(log)[-1] + 3
            for log in found
        )

    playground.wait("the first steps", lambda: trains_again(1), name="killed", timeout=PATIENCE)
    victim = training_process(playground.pods("killed")[1], rank=3)
    assert victim is not None
    kill(victim)
    playground.wait("steps after the kill", lambda: trains_again(2), name="killed", timeout=PATIENCE)
    for log in logs(playground, "killed"):
        *first, third, fourth = beginnings(log)
        assert first == [0, 0]
        assert third == fourth > 0
    lost = playground.pods("killed")[0]["metadata"]["name"]
    playground.api.delete("pods", lost, namespace=playground.namespace, grace=0)
    status = playground.wait_phase("killed", "Succeeded", timeout=PATIENCE)

    assert (status["attempt"], status["restartsUsed"]) == (2, 1)
    found = logs(playground, "killed")
    assert {step for log in found for step in beginnings(log)} & {0} == set()
    facts = sorted((each for log in found for each in results(log)), key=lambda each: each["rank"])
    assert [(each["rank"], each["size"]) for each in facts] == [(rank, 4) for rank in range(4)]
    assert [each["local"] for each in facts] == [[0, 2], [1, 2], [0, 2], [1, 2]]
    assert [each["cross"] for each in facts] == [[0, 2], [0, 2], [1, 2], [1, 2]]
    assert all((each["sum"], each["ranks"]) == (1 + 2 + 3 + 4, [0, 1, 2, 3]) for each in facts)
    playground.wait_phase("reference", "Succeeded", timeout=PATIENCE)
    [alone] = results(logs(playground, "reference")[0])
    assert alone["size"] == 1
    for each in facts:
        assert each["parameters"] == pytest.approx(alone["parameters"], abs=1e-5)


def test_tensorflow_trains_through_horovod_as_one(playground: Playground) -> None:
    code = program("horovod_keras")
    image = playground.installation.images["horovod-tensorflow"]
    for builder in (horovod("reference"), horovod("crew").workers(2).spread()):
        playground.apply(builder.image(image).user(1000).source(train=code).env(EPOCHS=str(EPOCHS)))
    for name in ("reference", "crew"):
        playground.wait_phase(name, "Succeeded", timeout=PATIENCE)

    [alone] = results(logs(playground, "reference")[0])
    facts = [each for log in logs(playground, "crew") for each in results(log)]
    assert [(each["rank"], each["size"], each["local"], each["cross"]) for each in facts] == [
        (0, 2, [0, 1], [0, 2]),
        (1, 2, [0, 1], [1, 2]),
    ]
    for each in facts:
        assert each["sum"] == 1 + 2
        assert each["weights"] == pytest.approx(alone["weights"], abs=1e-5)
        assert each["gradients"] == pytest.approx([1.5 * value for value in alone["gradients"]], abs=1e-4)


FORGETS = """
import torch
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model(torch.ones(8, 4)).sum().backward()
optimizer.step()
print("trained")
"""
UNWRAPPED = """
import horovod.torch as hvd
hvd.init()
"""
UNWRAPPED += FORGETS


@pytest.mark.parametrize(
    ("code", "image", "words"),
    [
        pytest.param(FORGETS, "", "write `import horovod.torch as hvd; hvd.init()`", id="no init"),
        pytest.param(UNWRAPPED, "", "write `optimizer = hvd.DistributedOptimizer(", id="an optimizer left alone"),
        pytest.param(UNWRAPPED, "pytorch", "this image has no Horovod", id="an image without Horovod"),
        pytest.param(
            "import horovod.tensorflow", "", "this image's Horovod was not built for tensorflow", id="another's image"
        ),
    ],
)
def test_what_would_train_alone_on_each_worker_fails_with_what_to_write(
    playground: Playground, code: str, image: str, words: str
) -> None:
    builder = horovod("alone").workers(2).source(train=code)
    playground.apply(builder.image(playground.installation.images[image]).user(1000) if image else builder)

    status = playground.wait_phase("alone", "Failed", timeout=PATIENCE)

    assert (status["reason"], status["attempt"], status["failureCounts"]) == ("ConfigError", 1, {"ConfigError": 1})
    assert words in status["message"]
    assert all("trained" not in log for log in logs(playground, "alone"))
