"""Reads how far running jobs have come, from worker 0 of each, without ever being held up by one.

The other end is a user's pod: it may answer slowly, endlessly, with rubbish, or not at all. So each read is bounded
in time and size, what it says is checked field by field, and a pod that does not answer costs one slot for two
seconds at most.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import aiohttp
import orjson

from regatta.api.status import Progress

__all__ = ["ProgressPoller", "Target", "read_progress"]

PORT: Final = 9464
MAX_BODY: Final = 64 * 1024
READ_SECONDS: Final = 2.0
PERIOD: Final = 5.0
PARALLEL: Final = 16
READS_PER_SECOND: Final = 100.0
"""With more running jobs than this allows, each is read less often."""
MAX_STEP: Final = 2**53

_log = logging.getLogger(__name__)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """One running job and where its worker 0 is."""

    key: Key
    pod_uid: str
    ip: str


@dataclass(slots=True)
class _Known:
    pod_uid: str
    read_at: float
    progress: Progress | None = None


class ProgressPoller:
    """Keeps the latest progress of every running job; tells when one has changed."""

    def __init__(
        self,
        *,
        targets: Callable[[], Iterable[Target]],
        changed: Callable[[Key], None],
        period: float = PERIOD,
        port: int = PORT,
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = targets
        self._changed = changed
        self._period = period
        self._port = port
        self._timeout = aiohttp.ClientTimeout(total=read_seconds)
        self._clock = clock
        self._known: dict[Key, _Known] = {}

    def latest(self, key: Key) -> Progress | None:
        """What the job's present worker 0 told last; None when nothing was read."""
        known = self._known.get(key)
        return known.progress if known is not None else None

    async def run(self) -> NoReturn:
        """Read in turn until cancelled."""
        connector = aiohttp.TCPConnector(limit=PARALLEL, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session:
            while True:
                await self.round(session)
                await asyncio.sleep(min(1.0, self._period))

    async def round(self, session: aiohttp.ClientSession) -> None:
        """Read every job that is due, and forget those that run no more."""
        targets = {target.key: target for target in self._targets()}
        for key in [key for key in self._known if key not in targets]:
            del self._known[key]
        now = self._clock()
        period = max(self._period, len(targets) / READS_PER_SECOND)
        due: list[Target] = []
        for target in targets.values():
            known = self._known.get(target.key)
            if known is None or known.pod_uid != target.pod_uid:
                # A new attempt starts anew: the old one's steps are no progress of the new one.
                known = self._known[target.key] = _Known(pod_uid=target.pod_uid, read_at=-math.inf)
            if now - known.read_at >= period:
                known.read_at = now
                due.append(target)
        queue = iter(due)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(PARALLEL, len(due))):
                group.create_task(self._read_some(session, queue))

    async def _read_some(self, session: aiohttp.ClientSession, queue: Iterable[Target]) -> None:
        for target in queue:
            body = await self._fetch(session, target.ip)
            known = self._known.get(target.key)
            if body is None or known is None or known.pod_uid != target.pod_uid:
                continue
            progress = read_progress(body, now=datetime.now(UTC))
            if progress is None or _same(progress, known.progress):
                continue
            known.progress = progress
            self._changed(target.key)

    async def _fetch(self, session: aiohttp.ClientSession, ip: str) -> bytes | None:
        """Up to `MAX_BODY` bytes of the pod's answer; None when there is no useful one."""
        try:
            # A pod's address is the kubelet's word, yet nothing unchecked becomes a URL.
            address = ipaddress.ip_address(ip)
        except ValueError:
            return None
        host = f"[{address}]" if address.version == 6 else str(address)
        try:
            async with session.get(f"http://{host}:{self._port}/progress", allow_redirects=False) as response:
                if response.status != 200:
                    return None
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY:
                        return None
                return bytes(body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            _log.debug("no progress from %s: %s", ip, error or type(error).__name__)
            return None


def read_progress(body: bytes, *, now: datetime) -> Progress | None:
    """What an answer of /progress says, as far as it can be believed; None when that is nothing."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict):
        return None
    step = _count(told, "step")
    total = _count(told, "totalSteps")
    if total == 0 or (total is not None and step is not None and step > total):
        total = None
    fraction = _number(told, "fraction", most=1.0)
    if fraction is None and step is not None and total is not None:
        fraction = step / total
    epoch = _number(told, "epoch", most=1e9)
    eta = _number(told, "etaSeconds", most=1e9)
    if step is None and fraction is None and epoch is None:
        return None
    return Progress(step=step, total_steps=total, epoch=epoch, fraction=fraction, eta_seconds=eta, updated_at=now)


def _same(one: Progress, other: Progress | None) -> bool:
    """Whether the training stands where it stood; the remaining time drifts by itself and says nothing new."""
    return other is not None and (one.step, one.total_steps, one.epoch, one.fraction) == (
        other.step,
        other.total_steps,
        other.epoch,
        other.fraction,
    )


def _count(told: Mapping[str, Any], field: str) -> int | None:
    value = told.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_STEP:
        return None
    return value


def _number(told: Mapping[str, Any], field: str, *, most: float) -> float | None:
    value = told.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return float(value)
