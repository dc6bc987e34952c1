"""What is said of a job's time is true: compared with programs that keep a clock of their own."""

from __future__ import annotations

import pytest

from tests.cluster.kit import Playground, job, program, results

pytestmark = pytest.mark.cluster

STEPS = 60
WITHIN = 0.02
"""Of the truth, as a share of the time that the program spent in its steps and waits."""


def test_a_plain_script_shows_its_pace_and_how_long_it_waited_for_data(playground: Playground) -> None:
    playground.apply(job("sleeps").workers(2).source(train=program("sleeps")).env(STEPS=str(STEPS)))

    status = playground.wait_phase("sleeps", "Succeeded", timeout=120)

    [truth] = results(playground.log(playground.pods("sleeps")[0]["metadata"]["name"]))
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
