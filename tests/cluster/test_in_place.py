"""A killed training process is back at its next step, in the pods that were there before."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import pytest

from tests.cluster.kit import Playground, job, kill, program, results, training_process, wait_for

pytestmark = pytest.mark.cluster

JOBS = 5
KILLS = 4
"""Of each job: the crew pauses longer and longer between generations that die young, and these all do."""
STEPS = 160
_STEP = re.compile(r"\b(starts after )?step (\d+)$")


def story(log: str) -> list[list[int]]:
    """Steps of each generation of one rank: the step it went on from, then those it did."""
    generations: list[list[int]] = []
    for found in filter(None, map(_STEP.search, log.splitlines())):
        if found[1]:
            generations.append([])
        generations[-1].append(int(found[2]))
    return generations


def log_of(place: Playground, pod: dict[str, Any]) -> str:
    return place.log(pod["metadata"]["name"])


@pytest.mark.pitfall(18)
def test_a_killed_process_goes_on_from_its_checkpoint_in_place_twenty_times_of_twenty(playground: Playground) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choice = random.Random(seed)
    code = program("ddp")
    playground.apply(job("reference").source(train=code).env(STEPS=str(STEPS)))
    names = [f"killed-{number}" for number in range(JOBS)]
    for name in names:
        shared = job(name).workers(2).spread().source(train=code).budget(KILLS + 5).checkpoint({"emptyDir": {}})
        if name == names[-1]:  # nothing of it is PyTorch's own
            shared.framework("Custom").image(playground.installation.pytorch_image).user(4711)
        playground.apply(shared.env(STEPS=str(STEPS), STEP_PAUSE="0.1", CHECKPOINTS="/checkpoints"))
    for name in names:
        playground.wait_phase(name, "Running", timeout=120)
    before = {name: playground.pods(name) for name in names}
    kills = dict.fromkeys(names, 0)

    def kill_those_that_train() -> bool:
        for name in names:
            generations = story(log_of(playground, before[name][0]))
            if kills[name] < KILLS and len(generations) == kills[name] + 1 and len(generations[-1]) >= 4:
                rank = choice.randrange(2)
                victim = training_process(before[name][rank], rank=rank)
                assert victim is not None, f"{name} has no process of rank {rank}"
                kill(victim)
                kills[name] += 1
        return all(count == KILLS for count in kills.values())

    def explain() -> str:
        stuck = next(name for name in names if kills[name] < KILLS)
        return f"{kills}\n{playground.explain(stuck)}"

    wait_for("every job to train again after each kill", kill_those_that_train, timeout=420, explain=explain)

    playground.wait_phase("reference", "Succeeded", timeout=60)
    [reference] = results(log_of(playground, playground.pods("reference")[0]))
    for name in names:
        status = playground.wait_phase(name, "Succeeded", timeout=120)
        after = playground.pods(name)
        logs = [log_of(playground, pod) for pod in after]

        assert [p["metadata"]["uid"] for p in after] == [p["metadata"]["uid"] for p in before[name]]
        assert status["attempt"] == 1
        assert status["restartsUsed"] == KILLS
        for log in logs:
            generations = story(log)
            assert len(generations) == KILLS + 1
            for earlier, later in itertools.pairwise(generations):
                # The step in which the kill fell is done again; a rank may be one checkpoint behind the other.
                assert earlier[-1] - 2 <= later[0] <= earlier[-1] + 1, (earlier, later)
        facts = [found for log in logs for found in results(log)]
        assert len(facts) == 2
        for each in facts:
            assert each["parameters"] == pytest.approx(reference["parameters"], abs=1e-5)
