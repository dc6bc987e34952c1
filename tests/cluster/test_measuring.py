"""What is said of a job's time is true: compared with programs that keep a clock of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.cluster.kit import Playground, job, kill, main_process, program, results, wait_for

pytestmark = pytest.mark.cluster

STEPS = 60
WITHIN = 0.02
"""Of the truth, as a share of the time that the program spent in its steps and waits."""
SAVE = 6.0
ROUNDING = 0.1
"""Seconds: each of some dozen numbers is rounded to a millisecond."""


def life(playground: Playground, name: str, status: dict[str, Any]) -> float:
    """Seconds from a job's creation to its end."""
    created = playground.api.get("trainingjobs", name, namespace=playground.namespace)["metadata"]["creationTimestamp"]
    return (datetime.fromisoformat(status["completionTime"]) - datetime.fromisoformat(created)).total_seconds()


def truth_of(playground: Playground, name: str) -> dict[str, Any]:
    """What rank 0 saw."""
    [truth] = results(playground.log(playground.pods(name)[0]["metadata"]["name"]))
    return truth


def test_a_plain_script_shows_its_pace_and_how_long_it_waited_for_data(playground: Playground) -> None:
    playground.apply(job("sleeps").workers(2).source(train=program("sleeps")).env(STEPS=str(STEPS)))

    status = playground.wait_phase("sleeps", "Succeeded", timeout=120)

    truth = truth_of(playground, "sleeps")
    told, spent = status["efficiency"], truth["waited"] + truth["worked"]
    assert told["dataStallFraction"] == pytest.approx(truth["waited"] / spent, abs=WITHIN)
    assert told["stepSeconds"] == pytest.approx(spent / (STEPS - 1), rel=WITHIN)
    assert told["samplesPerSecond"] == pytest.approx(2 * 4 * (STEPS - 1) / spent, rel=WITHIN)


def metrics(place: Playground, pod: str) -> dict[str, float]:
    """A training pod's samples, as Prometheus would read them."""
    page = place.api.request("GET", f"/api/v1/namespaces/{place.namespace}/pods/{pod}:9464/proxy/metrics")
    rows = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def test_known_steps_that_are_done_again_after_a_kill_are_rework(playground: Playground) -> None:
    killed = job("killed-once").source(train=program("killed_once")).budget(3).checkpoint({"emptyDir": {}})
    playground.apply(killed)
    [pod] = playground.wait("its pod", lambda: playground.pods("killed-once"), name="killed-once", timeout=60)
    name = pod["metadata"]["name"]

    def told() -> list[dict[str, float]]:
        return results(playground.log(name)) if "RESULT" in playground.log(name) else []

    [truth] = playground.wait("its end", told, name="killed-once", timeout=120)

    told_now = metrics(playground, name)
    assert truth["began"] == 16
    spent = told_now['regatta_runtime_time_seconds_total{rank="0",state="rework"}']
    assert spent == pytest.approx(truth["again"], rel=WITHIN)
    assert told_now["regatta_runtime_lost_steps_total"] == 20 - 16
    assert told_now["regatta_runtime_global_step"] == 30
    assert told_now["regatta_runtime_restarts_total"] == 1
    assert told_now["regatta_runtime_cpu_seconds_total"] > 0
    playground.delete("killed-once")


def test_programs_of_every_framework_show_their_steps_and_their_pace(playground: Playground) -> None:
    images = playground.installation.images
    crews = {
        "tensorflow": job("tensorflow").framework("TensorFlow").source(train=program("keras_fit")),
        "keras": job("keras").framework("Keras").set(kerasBackend="torch").source(train=program("keras_plain")),
        "horovod": job("horovod").framework("Horovod").source(train=program("horovod_loader")),
        "keras-2": (
            job("keras-2")
            .framework("Horovod")
            .image(images["horovod-tensorflow"])
            .source(train=program("horovod_keras"))
        ),
    }
    for crew in crews.values():
        playground.apply(crew.workers(2).user(1000).resources(cpu="100m", memory="500Mi").env(EPOCHS="5"))
    told = {name: playground.wait_phase(name, "Succeeded", timeout=300) for name in crews}

    steps = {name: status["progress"]["step"] for name, status in told.items()}
    assert steps == {"tensorflow": 5 * 4, "keras": 5 * 4, "horovod": 40, "keras-2": 5 * 4}
    for status in told.values():
        assert status["efficiency"]["stepSeconds"] > 0
    for name in ("tensorflow", "keras", "horovod"):
        pace = told[name]["efficiency"]
        assert pace["samplesPerSecond"] * pace["stepSeconds"] == pytest.approx(8 if name == "horovod" else 32, rel=0.01)
        assert pace["dataStallFraction"] > 0
    [truth] = results(playground.log(playground.pods("horovod")[0]["metadata"]["name"]))
    share = truth["waited"] / (truth["waited"] + truth["worked"])
    assert told["horovod"]["efficiency"]["dataStallFraction"] == pytest.approx(share, abs=WITHIN)
    assert "dataStallFraction" not in told["keras-2"]["efficiency"]  # Keras 2 fetches where nobody sees it


def test_the_ledger_is_the_truth_though_the_operator_is_killed_in_the_middle(playground: Playground) -> None:
    """Three jobs whose truth is known: one waits for its data, one for its checkpoint, one is killed and redoes steps.

    The operator is killed while they train, and before their first minute is over, so that nothing of their programs
    is in their ledgers yet; another one books all of it.
    """
    playground.apply(job("waits").workers(2).source(train=program("sleeps")).env(STEPS="100"))
    playground.apply(job("saves").source(train=program("sleeps")).env(STEPS="60", SAVE=str(SAVE)))
    playground.apply(job("redoes").source(train=program("redoes")).budget(1))
    for name in ("waits", "saves", "redoes"):
        playground.wait_phase(name, "Running", timeout=120)
    playground.installation.kill_leader()
    first_attempt = killed_when_it_hangs(playground, "redoes")
    playground.installation.kill_leader()
    ended = {name: playground.wait_phase(name, "Succeeded", timeout=180) for name in ("waits", "saves", "redoes")}

    for name, status in ended.items():
        print(name, status["ledger"], status["efficiency"])
        assert sum(status["ledger"].values()) == pytest.approx(life(playground, name, status), abs=ROUNDING)
        spent = sum(status["ledger"].values()) - status["ledger"].get("queued", 0.0)
        assert status["efficiency"]["goodput"] == pytest.approx(status["ledger"]["step"] / spent, abs=0.001)
    for name in ("waits", "saves"):
        truth, told = truth_of(playground, name), ended[name]["ledger"]
        print(name, truth)
        assert told["step"] == pytest.approx(truth["worked"], rel=WITHIN)
        assert told["data_wait"] == pytest.approx(truth["waited"] + truth["first_wait"], rel=WITHIN)
    assert ended["saves"]["ledger"]["checkpoint_save"] == pytest.approx(
        truth_of(playground, "saves")["saved"], rel=WITHIN
    )
    check_redone(first_attempt, truth_of(playground, "redoes"), ended["redoes"])


def killed_when_it_hangs(playground: Playground, name: str) -> dict[str, Any]:
    """Kill all of an attempt that has told its truth and goes on no more, and leaves no last words; return that truth.

    The operator has heard of the last step, which the ledger of the next attempt must not lose.
    """
    [pod] = playground.pods(name)
    [truth] = wait_for(
        "the first attempt's last step", lambda: results(playground.log(pod["metadata"]["name"])), timeout=120
    )
    playground.wait_status(name, "step 50", lambda s: (s.get("progress") or {}).get("step") == 50, timeout=60)
    process = main_process(pod, container="trainer")
    assert process is not None
    kill(process)
    return truth


def check_redone(first: dict[str, Any], second: dict[str, Any], status: dict[str, Any]) -> None:
    """The books of the job that was killed after step 50 and went on from step 25."""
    told = status["ledger"]
    assert status["attempt"] == 2
    assert second["known"] == "50", "the second attempt is told how far the first one came"
    assert status["stepsDone"] == 50
    # New steps and those done again, as far as a process that is killed could tell: twice a second. The first step of
    # each attempt is no part of it, because nothing but its end is seen of a program without a DataLoader.
    assert told["step"] == pytest.approx(first["worked"] + second["worked"], rel=WITHIN)
    assert told["rework"] == pytest.approx(second["redone"], rel=WITHIN)
    assert told["unmeasured"] > 0, "what it did until it was killed"
    # From the failure until all train again, which is what lostSeconds says, these states and no others pass.
    states = ("queued", "gang_wait", "image_pull", "rendezvous", "restart_backoff")
    [failure] = status["failures"]
    assert failure["lostSeconds"] <= sum(told.get(state, 0.0) for state in states) + 1.0
