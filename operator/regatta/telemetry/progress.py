"""Reads how running jobs fare, from worker 0 of each, without ever being held up by one.

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
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

import aiohttp
import orjson

from regatta.api.status import Progress
from regatta.plan.ledger import slow_cycle
from regatta.plan.progress import has_changed
from regatta.plan.report import MAX_STEP, CrewWords, count_in, number_in, read_failures, read_pace, read_time

__all__ = ["ProgressPoller", "Target", "read_words"]

PORT: Final = 9464
MAX_BODY: Final = 64 * 1024
READ_SECONDS: Final = 2.0
PERIOD: Final = 5.0
PARALLEL: Final = 16
READS_PER_SECOND: Final = 100.0
"""With more running jobs than this allows, each is read less often."""
LONGEST_PERIOD: Final = 60.0
MOST_DOUBLINGS: Final = 4
"""A pod that gives no useful answer is asked less and less often: a thousand of them must not delay the others."""
SAME_MOMENT: Final = timedelta(seconds=2)
"""Two readings of the time of one step differ by what the answers took on their way."""

_log = logging.getLogger(__name__)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One running job and where its worker 0 is."""

    key: Key
    job_uid: str
    attempt: int
    pod_uid: str
    ip: str


@dataclass(slots=True)
class _Known:
    pod_uid: str
    read_at: float
    words: CrewWords | None = None
    failures: int = 0
    """Reads in a row without a useful answer."""
    told_seconds: float = 0.0
    """How much of the program's time was known when a change was told last."""


class ProgressPoller:
    """Keeps the latest words of every running crew; tells when they have changed."""

    def __init__(
        self,
        *,
        targets: Callable[[], Iterable[Target]],
        changed: Callable[[Key], None],
        period: float = PERIOD,
        port: int = PORT,
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._targets = targets
        self._changed = changed
        self._period = period
        self._port = port
        self._timeout = aiohttp.ClientTimeout(total=read_seconds)
        self._clock = clock
        self._now = now
        self._known: dict[Key, _Known] = {}

    def latest(self, key: Key) -> CrewWords | None:
        """What the job's present worker 0 told last; None when nothing was read."""
        known = self._known.get(key)
        return known.words if known is not None else None

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
            if now - known.read_at >= max(period, min(LONGEST_PERIOD, period * 2.0**known.failures)):
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
            if known is None or known.pod_uid != target.pod_uid:
                continue
            told = None if body is None else read_words(body, target=target, now=self._now())
            if told is None:
                known.failures = min(known.failures + 1, MOST_DOUBLINGS)
                continue
            known.failures = 0
            before, known.words = known.words, _settled(told, known.words)
            seconds = sum(told.time.seconds.values()) if told.time is not None else 0.0
            if _is_news(known.words, before) or seconds - known.told_seconds >= slow_cycle(known.told_seconds):
                known.told_seconds = seconds
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


def read_words(body: bytes, *, target: Target, now: datetime) -> CrewWords | None:
    """What an answer of /progress says, as far as it can be believed; None when it is not this crew's.

    An address may have gone to another pod since we were told it: what that crew spent is none of this job's budget.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict):
        return None
    if (told.get("uid"), told.get("attempt"), told.get("worker")) != (target.job_uid, target.attempt, 0):
        return None
    return CrewWords(
        heard_at=now,
        attempt=target.attempt,
        restarts=count_in(told, "restarts") or 0,
        failures=read_failures(told.get("failures")),
        generation=count_in(told, "generation") or 0,
        progress=_progress(told, now=now),
        pace=read_pace(told.get("pace")),
        time=read_time(told.get("time")),
        global_step=count_in(told, "globalStep", most=MAX_STEP),
    )


def _progress(told: Mapping[str, Any], *, now: datetime) -> Progress | None:
    step = count_in(told, "step", most=MAX_STEP)
    total = count_in(told, "totalSteps", most=MAX_STEP)
    if total == 0 or (total is not None and step is not None and step > total):
        total = None
    fraction = number_in(told, "fraction", most=1.0)
    if fraction is None and step is not None and total is not None:
        fraction = step / total
    epoch = number_in(told, "epoch")
    eta = number_in(told, "etaSeconds")
    if step is None and fraction is None and epoch is None:
        return None
    # An age, not a time: the clock of the pod's node need not agree with ours.
    age = number_in(told, "stepAgeSeconds")
    updated_at = None if age is None else (now - timedelta(seconds=age)).replace(microsecond=0)
    return Progress(
        step=step, total_steps=total, epoch=epoch, fraction=fraction, eta_seconds=eta, updated_at=updated_at
    )


def _settled(told: CrewWords, before: CrewWords | None) -> CrewWords:
    """The words with the progress known before, where the training stands where it stood.

    The remaining time drifts by itself and says nothing new, nor does the moment of a step when read once more.
    Progress without steps has no age; it is as old as our knowledge of it. A pace that hardly differs stays as well, so
    that one which drifts slowly is news in the end.
    """
    if before is not None and not has_changed(before.pace, told.pace):
        told = replace(told, pace=before.pace)
    old, new = before.progress if before is not None else None, told.progress
    if new is None:
        return told
    if old is not None and old.updated_at is not None and _position(old) == _position(new):
        if new.updated_at is None or new.updated_at < old.updated_at + SAME_MOMENT:
            return replace(told, progress=old)
    elif new.updated_at is None:
        return replace(told, progress=new.model_copy(update={"updated_at": told.heard_at}))
    return told


def _is_news(words: CrewWords, before: CrewWords | None) -> bool:
    """Whether something happened in the crew; that it still answers is none."""
    return before is None or _facts(words) != _facts(before) or has_changed(before.pace, words.pace)


def _facts(words: CrewWords) -> tuple[object, ...]:
    position = _position(words.progress) if words.progress is not None else None
    return words.generation, words.restarts, words.failures, position


def _position(progress: Progress) -> tuple[object, ...]:
    return progress.step, progress.total_steps, progress.epoch, progress.fraction
