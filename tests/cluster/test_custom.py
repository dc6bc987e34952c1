"""Custom runs any program in any image: one with a network of its own, and one in an image that holds nothing else."""

from __future__ import annotations

import pytest

from tests.cluster.kit import Playground, job, program
from tests.cluster.tool import external
from tests.cluster.tool.node import PAUSE

pytestmark = pytest.mark.cluster

needs_image = pytest.mark.skipif(external.chosen() is not None, reason="the image comes with the tests' own cluster")


def logs(place: Playground, name: str) -> list[str]:
    return [place.log(pod["metadata"]["name"]) for pod in place.pods(name)]


def test_a_program_finds_all_workers_in_a_file(playground: Playground) -> None:
    image = playground.installation.pytorch_image
    gatherers = job("gather").framework("Custom").image(image).user(4711).workers(2).spread()
    playground.apply(gatherers.source(train=program("gather")).set(processesPerWorker=1))

    playground.wait_phase("gather", "Succeeded", timeout=90)

    for log in logs(playground, "gather"):
        assert "gathered ['0', '1'] with ['slots=1']" in log


@needs_image
def test_an_image_without_python_gets_the_documented_environment(playground: Playground) -> None:
    bare = job("bare").framework("Custom").image(PAUSE).user(4711).workers(2)
    playground.apply(bare.set(runtime="Off", command=["/pause", "env"]))

    playground.wait_phase("bare", "Succeeded", timeout=60)

    for worker, log in enumerate(logs(playground, "bare")):
        found = dict(line.split("=", 1) for line in log.splitlines())
        wanted = {
            "RANK": str(worker),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "bare-1-0.bare",
            "MASTER_PORT": "29500",
            "REGATTA_JOB": "bare",
            "REGATTA_WORKER": str(worker),
            "REGATTA_WORKERS": "2",
        }
        assert {name: found.get(name) for name in wanted} == wanted


@needs_image
def test_an_image_without_python_fails_at_once_where_the_runtime_is_wanted(playground: Playground) -> None:
    playground.apply(job("needs-python").framework("Custom").image(PAUSE).user(4711).command("/pause", "env"))

    status = playground.wait_phase("needs-python", "Failed", timeout=60)

    assert (status["reason"], status["attempt"], status.get("restartsUsed", 0)) == ("ConfigError", 1, 0)
    assert "python3" in status["message"]
    assert "set spec.runtime to Off" in status["message"]
