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
