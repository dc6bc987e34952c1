"""A killed training process is back at its next step, in the pods that were there before."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from tests.cluster.kit import Playground, job, kill, program, results, training_process

pytestmark = pytest.mark.cluster

KILLS = 20
STEPS = 400
_STEP = re.compile(r"\b(starts after )?step (\d+)$")


def story(log: str) -> list[list[int]]:
    """Steps of each generation of one rank: the step it went on from, then those it did."""
    generations: list[list[int]] = []
    for found in filter(None, map(_STEP.search, log.splitlines())):
        if found[1]:
            generations.append([])
        generations[-1].append(int(found[2]))
    return generations


def test_a_killed_process_goes_on_from_its_checkpoint_in_place_every_time(playground: Playground) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choice = random.Random(seed)
    code = program("ddp")
    shared = job("killed").workers(2).spread().source(train=code).budget(KILLS + 5)
    name = playground.apply(
        shared.checkpoint({"emptyDir": {}}).env(STEPS=str(STEPS), STEP_PAUSE="0.1", CHECKPOINTS="/checkpoints")
    )
    playground.apply(job("reference").source(train=code).env(STEPS=str(STEPS)))
    playground.wait_phase(name, "Running", timeout=120)
    before = playground.pods(name)
    log = f"log of {before[0]['metadata']['name']}"

    for count in range(KILLS):

        def trains(generation: int = count + 1) -> bool:
            generations = story(playground.log(before[0]["metadata"]["name"]))
            return len(generations) == generation and len(generations[-1]) >= 4

        playground.wait(f"{log}: step after restart {count}", trains, name=name, timeout=60)
        rank = choice.randrange(2)
        victim = training_process(before[rank], rank=rank)
        assert victim is not None
        kill(victim)

    playground.wait_phase(name, "Succeeded", timeout=180)
    playground.wait_phase("reference", "Succeeded", timeout=60)
    after = playground.pods(name)
    status = playground.status(name)
    logs = [playground.log(pod["metadata"]["name"]) for pod in after]
    [reference] = results(playground.log(playground.pods("reference")[0]["metadata"]["name"]))

    assert [p["metadata"]["uid"] for p in after] == [p["metadata"]["uid"] for p in before]
    assert status["attempt"] == 1
    assert status["restartsUsed"] == KILLS
    for log in logs:
        generations = story(log)
        assert len(generations) == KILLS + 1
        for earlier, later in itertools.pairwise(generations):
            # The step in which the kill fell is done again; a rank may be one checkpoint behind the other.
            assert earlier[-1] - 2 <= later[0] <= earlier[-1] + 1, (earlier, later)
    for facts in (found for log in logs for found in results(log)):
        assert facts["parameters"] == pytest.approx(reference["parameters"], abs=1e-5)
