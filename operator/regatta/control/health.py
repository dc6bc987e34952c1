"""Answers /healthz, /readyz, /metrics and /metrics/jobs.

Leader or standby, a replica is healthy while it hears. The two probes ask different things:

* /readyz: do we know the world as it is? Bad while caches are not filled, or a stream has heard nothing (no event, no
  bookmark) for `Limits.heard`. Bad, too, while the API server is away: that is the truth.
* /healthz: would a restart help? Bad only when a stream has neither heard nor tried anything for `Limits.tried`, so its
  task is stuck or gone, or has heard nothing for `Limits.deaf` however hard it tried. An API server's outage of a few
  minutes restarts nobody: a container that is restarted again and again would come back late.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from regatta.errors import ConfigurationError
from regatta.kube.informer import SILENCE_SECONDS
from regatta.kube.pulse import Pulse
from regatta.telemetry.jobseries import CONTENT_TYPE, JobSeries

__all__ = ["Health", "Limits", "serve", "watch_lag"]

LAG_PERIOD: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds after which a stream counts as deaf (`heard`), stuck (`tried`), or past help (`deaf`)."""

    heard: float
    tried: float
    deaf: float

    @classmethod
    def of(cls, silence: float) -> Self:
        """Limits for streams that are taken up again after so many seconds of silence.

        One lost stream is no news; that the next one is silent as well is.
        """
        return cls(heard=2.4 * silence, tried=4 * silence, deaf=16 * silence)


@dataclass(slots=True)
class _Stream:
    pulses: Callable[[], Sequence[Pulse]]
    synced: Callable[[], bool]


class Health:
    """What the probes say, put together from the streams' signs of life."""

    def __init__(self, *, limits: Limits = Limits.of(SILENCE_SECONDS)) -> None:  # noqa: B008 - a frozen value
        self._limits = limits
        self._streams: dict[str, _Stream] = {}
        self._waiting = "starting"
        self.leading = False

    def waiting_for(self, what: str) -> None:
        """Say in /readyz what the start still waits for; empty when it waits for nothing."""
        self._waiting = what

    def stream(self, name: str, *, pulses: Callable[[], Sequence[Pulse]], synced: Callable[[], bool]) -> None:
        """Watch over a stream."""
        self._streams[name] = _Stream(pulses, synced)

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Whether to go on with this process, and the ages behind the answer."""
        bad = [
            name
            for name, stream in self._streams.items()
            for pulse in stream.pulses()
            if pulse.idle_seconds > self._limits.tried or pulse.silent_seconds > self._limits.deaf
        ]
        return not bad, self._report(deaf=sorted(set(bad)))

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this process knows the world as it is."""
        bad = [
            name
            for name, stream in self._streams.items()
            if not stream.synced() or any(pulse.silent_seconds > self._limits.heard for pulse in stream.pulses())
        ]
        report = self._report(deaf=bad)
        if self._waiting:
            report["waitingFor"] = self._waiting
        return not bad and not self._waiting, report

    def _report(self, *, deaf: list[str]) -> dict[str, Any]:
        ages = {
            name: round(max((pulse.silent_seconds for pulse in stream.pulses()), default=0.0), 1)
            for name, stream in self._streams.items()
        }
        return {"leading": self.leading, "silentSeconds": ages, "deaf": deaf}


async def serve(
    health: Health, registry: CollectorRegistry, series: JobSeries, *, host: str, port: int
) -> web.AppRunner:
    """Start the server; the caller cleans the runner up. Metrics are put together on other threads than the loop's."""
    one_at_a_time = asyncio.Lock()

    def answer(state: tuple[bool, dict[str, Any]]) -> web.Response:
        good, report = state
        return web.Response(status=200 if good else 503, body=orjson.dumps(report), content_type="application/json")

    async def healthz(_: web.Request) -> web.Response:
        return answer(health.alive())

    async def readyz(_: web.Request) -> web.Response:
        return answer(health.ready())

    async def metrics(request: web.Request) -> web.Response:
        async with one_at_a_time:
            return await _exposition(request, lambda: generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    async def jobs(request: web.Request) -> web.Response:
        async with one_at_a_time:
            return await _exposition(request, series.snapshot(), content_type=CONTENT_TYPE)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    app.add_routes([web.get("/metrics/jobs", jobs)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or None, port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigurationError(f"port {port} can't be served: {error}") from error
    return runner


async def _exposition(request: web.Request, render: Callable[[], bytes], *, content_type: str) -> web.Response:
    packed = "gzip" in request.headers.get("Accept-Encoding", "")

    def whole() -> bytes:
        return gzip.compress(render(), 1) if packed else render()

    headers = {"Content-Type": content_type, **({"Content-Encoding": "gzip"} if packed else {})}
    return web.Response(body=await asyncio.to_thread(whole), headers=headers)


async def watch_lag(lagged: Callable[[float], None]) -> NoReturn:
    """Measure for ever how late the loop runs what is due."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_PERIOD
        await asyncio.sleep(LAG_PERIOD)
        lagged(max(0.0, loop.time() - due))
