"""Native gang scheduling: all workers or none, said in the status, and no two gangs that wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.kit import JobBuilder, Playground, Refused, job, wait_for
from tests.cluster.kit.slots import Slots

pytestmark = pytest.mark.cluster

TRAINS = ("python3", "-c", "print('trained')")


@pytest.fixture
def slots(playground: Playground) -> Iterator[Slots]:
    made = Slots(playground.api)
    yield made
    made.clear()


def gang(name: str, slots: Slots, *, workers: int) -> JobBuilder:
    return job(name).workers(workers).command(*TRAINS).set(gpusPerWorker=1, gpuResource=slots.resource)


def condition(status: dict[str, Any], type_: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in status["conditions"] if c["type"] == type_)
    return found


def test_a_gang_that_does_not_fit_waits_as_a_whole_says_so_and_starts_when_room_appears(
    playground: Playground, slots: Slots
) -> None:
    slots.offer(2, 1)
    name = playground.apply(gang("four", slots, workers=4))

    def says_so(status: dict[str, Any]) -> bool:
        return status.get("reason") == "Unschedulable"

    status = playground.wait_status(name, "Unschedulable", says_so, timeout=60)
    held = [pod for pod in playground.pods(name) if pod["spec"].get("nodeName")]
    stated = condition(status, "GangScheduled")
    print(f"{status['message']}\n{stated['reason']}: {stated['message']}")

    assert status["phase"] == "Queued"
    assert held == []
    assert stated["status"] == "False"
    assert "PodGroup four-1" in stated["message"]

    slots.offer(2, 2)
    done = playground.wait_phase(name, "Succeeded", timeout=120)
    assert condition(done, "GangScheduled")["status"] == "True"
    assert done["attempt"] == 1


def test_gangs_that_want_the_same_room_never_hold_it_half_against_each_other(
    playground: Playground, slots: Slots
) -> None:
    slots.offer(2, 1)
    names = [playground.apply(gang(f"rival-{number}", slots, workers=3)) for number in range(4)]

    for name in names:
        status = playground.wait_phase(name, "Succeeded", timeout=180)
        assert status.get("failureCounts") is None


def test_without_a_gang_the_same_pods_hold_what_they_can_get(playground: Playground, slots: Slots) -> None:
    """What the gang spares others: the two tests above can fail."""
    slots.offer(2, 1)
    name = playground.apply(gang("greedy", slots, workers=4).set(scheduling={"gang": "None"}))

    def held() -> bool:
        return sum(bool(pod["spec"].get("nodeName")) for pod in playground.pods(name)) == 3

    playground.wait("three of four pods to hold a slot", held, name=name, timeout=60)
    status = playground.wait_status(name, "Starting", lambda s: s.get("phase") == "Starting", timeout=30)
    assert "GangScheduled" not in {c["type"] for c in status["conditions"]}


def test_the_next_attempt_has_its_own_group_and_the_last_one_is_deleted(playground: Playground, slots: Slots) -> None:
    slots.offer(2, 2)
    code = "import os, sys; sys.exit(int(os.environ['REGATTA_ATTEMPT'] == '1'))"
    again = gang("again", slots, workers=2).command("python3", "-c", code).budget(1)
    # A budget of one is spent in place, where it does not help, unless exit code 1 may not be met there.
    name = playground.apply(again)
    playground.wait_phase(name, "Succeeded", "Failed", timeout=120)

    def groups() -> list[str]:
        path = f"/apis/scheduling.k8s.io/v1beta1/namespaces/{playground.namespace}/podgroups"
        return [group["metadata"]["name"] for group in playground.api.request("GET", path)["items"]]

    assert all(group.startswith("again-") for group in groups())
    attempt = playground.status(name)["attempt"]
    wait_for("only the last attempt's group to be left", lambda: groups() == [f"again-{attempt}"], timeout=30)
    playground.delete(name)
    wait_for("the group to go with its job", lambda: groups() == [], timeout=60)


def test_a_name_that_another_group_holds_is_told(playground: Playground, slots: Slots) -> None:
    slots.offer(2, 2)
    path = f"/apis/scheduling.k8s.io/v1beta1/namespaces/{playground.namespace}/podgroups"
    body = {"metadata": {"name": "taken-1"}, "spec": {"schedulingPolicy": {"gang": {"minCount": 7}}}}
    try:
        playground.api.request("POST", path, body=body)
    except Refused as refused:
        pytest.fail(f"the cluster takes no PodGroup: {refused}")
    name = playground.apply(gang("taken", slots, workers=2))

    status = playground.wait_status(name, "CreateError", lambda s: s.get("reason") == "CreateError", timeout=30)

    assert "PodGroup taken-1" in status["message"]
    assert playground.pods(name) == []
    playground.api.request("DELETE", f"{path}/taken-1")
    playground.wait_phase(name, "Succeeded", timeout=120)
