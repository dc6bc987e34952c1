"""Distributed training on real nodes gives what a single process gives, from a script that knows nothing of Regatta."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.kit import Playground, job, program, results

pytestmark = pytest.mark.cluster

STEPS = "60"


def facts_of(place: Playground, name: str) -> list[dict[str, Any]]:
    return [facts for pod in place.pods(name) for facts in results(place.log(pod["metadata"]["name"]))]


@pytest.mark.parametrize("framework", ["PyTorch", "Custom"])
def test_two_workers_of_two_processes_on_two_nodes_train_to_the_parameters_of_a_single_process(
    playground: Playground, framework: str
) -> None:
    code = program("ddp")
    crew = job("crew").source(train=code).env(STEPS=STEPS).workers(2).processes(2).spread()
    if framework == "Custom":
        crew.framework(framework).image(playground.installation.pytorch_image).user(4711)
    single = job("single").source(train=code).env(STEPS=STEPS)
    names = [playground.apply(each) for each in (crew, single)]
    for name in names:
        playground.wait_phase(name, "Succeeded", timeout=120)

    nodes = {pod["spec"]["nodeName"] for pod in playground.pods("crew")}
    facts = facts_of(playground, "crew")
    [reference] = facts_of(playground, "single")

    assert len(nodes) == 2
    assert sorted((f["rank"], f["node"], f["local_rank"], f["world"]) for f in facts) == [
        (0, 0, 0, 4),
        (1, 0, 1, 4),
        (2, 1, 0, 4),
        (3, 1, 1, 4),
    ]
    for each in facts:
        assert each["parameters"] == pytest.approx(reference["parameters"], abs=1e-5)


@pytest.mark.pitfall(3)
def test_the_status_tells_the_whole_life_of_a_job_that_succeeded(playground: Playground) -> None:
    name = playground.apply(job("life").workers(2).command("sleep", "3"))

    status = playground.wait_phase(name, "Succeeded", timeout=60)

    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert status["attempt"] == 1
    assert status["workers"]["desired"] == 2
    assert status["workers"]["succeeded"] == 2
    assert conditions["Succeeded"] == "True"
    assert conditions.get("Failed", "False") == "False"
    assert status["startTime"] <= status["runningSince"] <= status["completionTime"]


def test_any_image_of_ones_own_runs_any_program_as_a_custom_job(playground: Playground) -> None:
    image = playground.installation.pytorch_image
    says = 'echo "$RANK of $WORLD_SIZE at $MASTER_ADDR"'
    name = playground.apply(job("own").framework("Custom").image(image).user(4711).workers(2).command("sh", "-c", says))

    playground.wait_phase(name, "Succeeded", timeout=60)
    logs = "".join(playground.log(pod["metadata"]["name"]) for pod in playground.pods(name))

    assert "0 of 2 at " in logs
    assert "1 of 2 at " in logs


def test_every_process_prefixes_its_output_with_its_rank(playground: Playground) -> None:
    speaks = "import os; print('speaks', os.environ['RANK'])"
    name = playground.apply(job("speakers").workers(2).processes(2).command("python3", "-c", speaks))

    playground.wait_phase(name, "Succeeded", timeout=60)
    lines = [line for pod in playground.pods(name) for line in playground.log(pod["metadata"]["name"]).splitlines()]

    for rank in range(4):
        [line] = [line for line in lines if line.endswith(f"speaks {rank}")]
        assert str(rank) in line.removesuffix(f"speaks {rank}")
