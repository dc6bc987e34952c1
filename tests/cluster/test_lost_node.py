"""A node that dies with its kubelet and containers: crews train on elsewhere, though nobody can say what became of it.

The node object stays, so the old pods can only be marked for deletion, and stay as well until the node is back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from tests.cluster.kit import Playground, job, program
from tests.cluster.tool import api as tool
from tests.cluster.tool import external

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(external.chosen() is not None, reason="a user's own cluster is never ours to break"),
]

LIMIT = tool.NODE_GRACE + 10.0
"""Seconds from the loss of a node until new pods have living nodes."""
VICTIM = "node2"
PREFERS_VICTIM = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "preference": {
                    "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [VICTIM]}]
                },
            }
        ]
    }
}


def apart(name: str) -> dict[str, Any]:
    """Affinity that puts one worker on the victim and the others elsewhere."""
    term = {"labelSelector": {"matchLabels": {"regatta.dev/job": name}}, "topologyKey": "kubernetes.io/hostname"}
    return {**PREFERS_VICTIM, "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


AFFINITY = {"whole": PREFERS_VICTIM, "parted": apart("parted")}
"""Jobs of two workers: one has both on the victim, the other has one there."""


@pytest.fixture(autouse=True)
def nodes() -> Iterator[None]:
    """One node to lose and two to go on with; whatever becomes of a test, the next one has all of them."""
    tool.ensure_cluster(nodes=3)
    yield
    tool.revive_node(VICTIM)


@dataclass
class Story:
    """What was seen of one job after the loss, in seconds since then."""

    attempts: dict[int, float] = field(default_factory=dict)
    """When each attempt's pods were all there and bound to living nodes."""
    running: float = 0.0


def follow(place: Playground, names: tuple[str, ...]) -> dict[str, Story]:
    """Watch the jobs until all run on living nodes."""
    began = time.monotonic()
    stories = {name: Story() for name in names}

    def all_run() -> bool:
        for name, story in stories.items():
            status = place.status(name)
            attempt = status["attempt"]
            pods = [pod for pod in place.pods(name) if pod["metadata"]["labels"]["regatta.dev/attempt"] == str(attempt)]
            nodes = [pod["spec"].get("nodeName", VICTIM) for pod in pods]
            if attempt > 1 and len(nodes) == 2 and VICTIM not in nodes:
                story.attempts.setdefault(attempt, time.monotonic() - began)
                if status["phase"] == "Running" and not story.running:
                    story.running = time.monotonic() - began
        return all(story.running for story in stories.values())

    place.wait("all jobs to train on living nodes", all_run, name=names[-1], timeout=LIMIT + 60)
    return stories


@pytest.mark.parametrize("unplugged", [True, False], ids=["without-power", "with-all-processes-killed"])
@pytest.mark.pitfall(7)
def test_the_crews_of_a_lost_node_train_on_elsewhere_within_its_grace_and_ten_seconds(
    playground: Playground, unplugged: bool
) -> None:
    names = tuple(AFFINITY)
    for name in names:
        counts = job(name).workers(2).source(train=program("counts")).env(STEPS="9999", STEPS_LATER="150")
        playground.apply(counts.set(scheduling={"affinity": AFFINITY[name]}))
    for name in names:
        playground.wait_phase(name, "Running", timeout=120)
        nodes = [pod["spec"]["nodeName"] for pod in playground.pods(name)]
        assert nodes.count(VICTIM) == (2 if name == "whole" else 1)
    old = {pod["metadata"]["uid"] for name in names for pod in playground.pods(name)}

    tool.kill_node(VICTIM, unplugged=unplugged)
    stories = follow(playground, names)

    for name, story in stories.items():
        seen = ", ".join(f"attempt {attempt} {seconds:.1f}" for attempt, seconds in story.attempts.items())
        print(f"{name}: s until all pods have living nodes: {seen}; until it trains: {story.running:.1f}")
        status = playground.status(name)
        assert max(story.attempts.values()) <= LIMIT, playground.explain(name)
        assert status.get("restartsUsed", 0) == 0
        assert {failure["node"] for failure in status["failures"]} == {VICTIM}
        assert sum(status["failureCounts"].values()) == status["attempt"] - 1
    whole, parted = (playground.status(name) for name in names)
    assert (whole["attempt"], whole["failureCounts"]) == (2, {"NodeLost": 1})
    # Those who are left of a crew notice sooner than the cluster does, and may meet the dead node once more.
    assert parted["failureCounts"].keys() <= {"CrewLost", "NodeLost"}

    running = {name: pods_of_attempt(playground, name) for name in names}
    tool.revive_node(VICTIM)
    for name in names:
        status = playground.wait_phase(name, "Succeeded", timeout=120)
        assert pods_of_attempt(playground, name) == running[name]
        assert status["attempt"] == (whole if name == "whole" else parted)["attempt"]
        assert datetime.fromisoformat(status["completionTime"]) > datetime.fromisoformat(status["runningSince"])

    def old_ones_gone() -> bool:
        return not old & {pod["metadata"]["uid"] for name in names for pod in playground.pods(name)}

    playground.wait("the lost pods to be gone", old_ones_gone, name="whole", timeout=60)


def pods_of_attempt(place: Playground, name: str) -> list[str]:
    """Uids of the present attempt's pods."""
    attempt = str(place.status(name)["attempt"])
    pods = (pod for pod in place.pods(name) if pod["metadata"]["labels"]["regatta.dev/attempt"] == attempt)
    return sorted(pod["metadata"]["uid"] for pod in pods)
