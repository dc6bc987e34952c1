"""Whatever part of a crew is lost, the job trains on: in place where its launchers live, else by a new attempt.

The status says what was lost, and only what the program did spends the budget. All losses are inflicted at once, each
on a job of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cluster.kit import Playground, job, kill, main_process, program, training_process, wait_for

pytestmark = pytest.mark.cluster

SILENCE = 15.0
"""Seconds after which a launcher that says nothing is lost."""


@dataclass
class Crews:
    """Jobs of two pods with two training processes each, by what is done to them."""

    place: Playground
    pods: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stopped: dict[str, int] = field(default_factory=dict)
    """Pids of stopped processes."""
    harmed_at: float = 0.0

    def start(self, name: str, *, alone: bool = True, **env: str) -> None:
        crew = job(name).workers(2).processes(2).source(train=program("steps")).env(**env)
        self.place.apply(crew.spread() if alone else crew)

    def kill_ranks(self, name: str, *ranks: int) -> None:
        victims = [training_process(self.pods[name][rank // 2], rank=rank) for rank in ranks]
        for rank, victim in zip(ranks, victims, strict=True):
            assert victim is not None, f"{name} has no process of rank {rank}"
            kill(victim)

    def kill_launcher(self, name: str, worker: int) -> None:
        os.kill(self._launcher(name, worker), signal.SIGKILL)

    def stop_launcher(self, name: str, worker: int) -> None:
        self.stopped[name] = self._launcher(name, worker)
        os.kill(self.stopped[name], signal.SIGSTOP)

    def stop_rank_0(self, name: str) -> None:
        process = training_process(self.pods[name][0], rank=0)
        assert process is not None
        self.stopped[name] = process.pid
        os.kill(process.pid, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):  # its pod's grace period may have ended
            os.kill(self.stopped.pop(name), signal.SIGCONT)

    def delete_pod(self, name: str, worker: int) -> None:
        pod = self.pods[name][worker]["metadata"]["name"]
        self.place.api.delete("pods", pod, namespace=self.place.namespace, grace=0)

    def end(self, name: str, *, timeout: float = 90) -> dict[str, Any]:
        return self.place.wait_phase(name, "Succeeded", timeout=timeout)

    def _launcher(self, name: str, worker: int) -> int:
        process = main_process(self.pods[name][worker], container="trainer")
        assert process is not None, f"worker {worker} of {name} has no launcher"
        return process.pid


IN_PLACE: dict[str, tuple[int, ...]] = {
    "a-process": (3,),
    "processes-of-a-pod": (2, 3),
    "processes-of-the-coordinator": (0, 1),
    "all-processes": (0, 1, 2, 3),
}
"""Ranks that are killed at once."""

Harm = Callable[[Crews, str], None]
NEW_ATTEMPT: dict[str, tuple[Harm, str, int, str]] = {
    "launcher": (lambda crews, name: crews.kill_launcher(name, 1), "CrewLost", 1, "killed from outside"),
    "coordinator": (lambda crews, name: crews.kill_launcher(name, 0), "CrewLost", 0, "killed from outside"),
    "pod": (lambda crews, name: crews.delete_pod(name, 1), "PodDeleted", 1, "worker 1 was deleted"),
    "coordinators-pod": (lambda crews, name: crews.delete_pod(name, 0), "PodDeleted", 0, "worker 0 was deleted"),
    "hung-launcher": (lambda crews, name: crews.stop_launcher(name, 1), "CrewLost", 1, "worker 1 no longer answers"),
    "hung-coordinator": (lambda crews, name: crews.stop_launcher(name, 0), "CrewLost", 0, "lost worker 0"),
}
"""What is done, and the cause, the worker and the words that the status then has."""

COMES_BACK = {"launcher-comes-back": 1, "coordinator-comes-back": 0}
"""Workers whose launcher hangs until the next attempt starts beside it."""
STALLS = "stopped-process"


@pytest.fixture(scope="module")
def crews(make_place: Callable[[str], Playground]) -> Iterator[Crews]:
    crews = Crews(make_place("crew-losses"))
    for name in (*IN_PLACE, *NEW_ATTEMPT):
        crews.start(name)
    for name in COMES_BACK:
        crews.start(name, alone=False, STEPS_LATER="100")
    crews.start(STALLS, STEPS="100")
    names = (STALLS, *COMES_BACK, *NEW_ATTEMPT, *IN_PLACE)
    for name in names:
        crews.place.wait_phase(name, "Running", timeout=180)
        crews.pods[name] = crews.place.pods(name)
    crews.stop_rank_0(STALLS)
    for name, worker in COMES_BACK.items():
        crews.stop_launcher(name, worker)
    for name, (harm, *_) in NEW_ATTEMPT.items():
        harm(crews, name)
    for name, ranks in IN_PLACE.items():
        crews.kill_ranks(name, *ranks)
    crews.harmed_at = time.monotonic()
    yield crews
    for name in list(crews.stopped):
        crews.go_on(name)


@pytest.mark.parametrize("name", IN_PLACE)
def test_killed_processes_start_again_in_place_which_costs_one_restart(crews: Crews, name: str) -> None:
    status = crews.end(name)
    assert status["attempt"] == 1
    assert (status["restartsUsed"], status["failureCounts"]) == (1, {"UserError": 1})
    [failure] = status["failures"]
    assert (failure["action"], failure["cause"], failure["exitCode"]) == ("RestartedInPlace", "UserError", 137)
    assert failure["message"] in {f"rank {rank} on worker {rank // 2} was killed by SIGKILL" for rank in IN_PLACE[name]}
    assert failure["pod"] in {crews.pods[name][rank // 2]["metadata"]["name"] for rank in IN_PLACE[name]}
    assert failure["lostSeconds"] < 10
    after = [pod["metadata"]["uid"] for pod in crews.place.pods(name)]
    assert after == [pod["metadata"]["uid"] for pod in crews.pods[name]]


@pytest.mark.parametrize("name", NEW_ATTEMPT)
def test_a_lost_launcher_or_pod_makes_a_new_attempt_which_costs_no_restart(crews: Crews, name: str) -> None:
    _, cause, worker, words = NEW_ATTEMPT[name]
    status = crews.end(name)
    assert status["attempt"] == 2
    assert (status.get("restartsUsed", 0), status["failureCounts"]) == (0, {cause: 1})
    [failure] = status["failures"]
    assert (failure["action"], failure["cause"]) == ("NewAttempt", cause)
    assert words in failure["message"]
    if cause == "CrewLost":
        assert failure["pod"] == crews.pods[name][worker]["metadata"]["name"]
    assert failure["lostSeconds"] < 60


@pytest.mark.parametrize("name", COMES_BACK)
def test_a_launcher_that_comes_back_ends_and_does_not_disturb_the_next_attempt(crews: Crews, name: str) -> None:
    old = {pod["metadata"]["uid"] for pod in crews.pods[name]}

    def next_crew() -> list[str]:
        uids = [pod["metadata"]["uid"] for pod in crews.place.pods(name) if pod["metadata"]["uid"] not in old]
        return uids if len(uids) == 2 else []

    new = crews.place.wait("the pods of the next attempt", next_crew, name=name, timeout=60)
    crews.go_on(name)
    status = crews.end(name)
    assert status["attempt"] == 2
    assert status["failureCounts"] == {"CrewLost": 1}
    assert [pod["metadata"]["uid"] for pod in crews.place.pods(name)] == new, "the old pods are gone"


def test_a_stopped_process_is_no_failure_only_no_progress(crews: Crews) -> None:
    wait_for(
        "longer than a launcher may be silent", lambda: time.monotonic() - crews.harmed_at > SILENCE + 5, timeout=60
    )
    first = crews.place.status(STALLS)
    assert (first["phase"], first["attempt"]) == ("Running", 1)
    crews.go_on(STALLS)
    status = crews.end(STALLS)
    assert status["attempt"] == 1
    assert not status.get("failures")
    assert status["progress"]["step"] == 100 > first["progress"]["step"]
