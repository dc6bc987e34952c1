"""Health is what the streams' signs of life say, not that a server answers."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from regatta.control.health import Health, Limits, serve
from regatta.errors import ConfigurationError
from regatta.kube.pulse import Pulse
from regatta.telemetry.jobseries import JobSeries
from tests.builders import job
from tests.unit.telemetry.exposition import problems

LIMITS = Limits(heard=180.0, tried=300.0, deaf=1200.0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def health_of(pulse: Pulse, *, synced: bool = True) -> Health:
    health = Health(limits=LIMITS)
    health.waiting_for("")
    health.stream("pods", pulses=lambda: (pulse,), synced=lambda: synced)
    return health


def states(health: Health) -> tuple[bool, bool]:
    return health.alive()[0], health.ready()[0]


def test_a_stream_that_hears_is_alive_and_ready() -> None:
    assert states(health_of(Pulse(clock=Clock()))) == (True, True)


def test_before_the_first_list_a_replica_is_alive_and_not_ready() -> None:
    assert states(health_of(Pulse(clock=Clock()), synced=False)) == (True, False)


def test_what_the_start_waits_for_is_told() -> None:
    health = Health()
    health.waiting_for("the API server")
    ready, report = health.ready()
    assert not ready
    assert report["waitingFor"] == "the API server"


@pytest.mark.parametrize(
    ("silent", "trying", "expected"),
    [
        pytest.param(LIMITS.heard, False, (True, True), id="quiet"),
        pytest.param(LIMITS.heard + 1, True, (True, False), id="the server is away for a while"),
        pytest.param(LIMITS.tried + 1, True, (True, False), id="the server is away for long"),
        pytest.param(LIMITS.tried + 1, False, (False, False), id="the task is stuck"),
        pytest.param(LIMITS.deaf + 1, True, (False, False), id="nothing helps but a new process"),
    ],
)
def test_a_deaf_stream_turns_bad(silent: float, trying: bool, expected: tuple[bool, bool]) -> None:
    clock = Clock()
    pulse = Pulse(clock=clock)
    health = health_of(pulse)
    clock.now = silent
    if trying:
        pulse.tried()
    assert states(health) == expected


def test_a_stream_that_hears_again_is_good_again() -> None:
    clock = Clock()
    pulse = Pulse(clock=clock)
    health = health_of(pulse)
    clock.now = LIMITS.tried + 1
    pulse.heard()
    assert states(health) == (True, True)


def test_limits_follow_the_silence_after_which_a_stream_is_taken_up_again() -> None:
    assert Limits.of(75.0) == LIMITS
    assert Limits.of(7.5) == Limits(heard=18.0, tried=30.0, deaf=120.0)


def test_leader_and_standby_are_equally_healthy() -> None:
    health = health_of(Pulse(clock=Clock()))
    standby = states(health)
    health.leading = True
    assert states(health) == standby == (True, True)


async def test_the_server_answers_probes_and_scrapes() -> None:
    health = Health()
    health.waiting_for("the API server")
    series = JobSeries()
    series.put(job().obj(), bound=0)
    runner = await serve(health, CollectorRegistry(), series, host="127.0.0.1", port=0)
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            codes = {}
            for path in ("/healthz", "/readyz", "/metrics", "/metrics/jobs", "/other"):
                async with session.get(path) as response:
                    codes[path] = response.status
            plain = {"Accept-Encoding": "identity"}
            async with session.get("/metrics/jobs", headers=plain) as whole, session.get("/metrics/jobs") as packed:
                assert "Content-Encoding" not in whole.headers
                assert packed.headers["Content-Encoding"] == "gzip"
                assert problems(await whole.text()) == []
                assert await packed.read() == await whole.read()
        assert codes == {"/healthz": 200, "/readyz": 503, "/metrics": 200, "/metrics/jobs": 200, "/other": 404}
        with pytest.raises(ConfigurationError, match="port"):
            await serve(health, CollectorRegistry(), series, host="127.0.0.1", port=port)
    finally:
        await runner.cleanup()
