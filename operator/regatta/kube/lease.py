"""Leader election by a Lease: at most one replica acts, and a lost one stops at once.

Other people's clocks are never trusted: a foreign lease counts as expired when it has not changed for its duration
by our own monotonic clock, and our own counts as lost when no renewal that began within the deadline succeeded.
Every write names the version it replaces, so of two that try at once one is told Conflict.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Protocol

from regatta.errors import RegattaError
from regatta.kube.client import Client
from regatta.kube.errors import ApiError, NotFound
from regatta.kube.resources import LEASES
from regatta.kube.retry import NEVER
from regatta.kube.transport import Lane

__all__ = ["Elector", "KubeLease", "LeadershipLost", "LeaseStore", "Timing"]

LOOKS_PER_RENEWAL: Final = 4
"""A candidate counts a lease from when it saw it renewed, so what it sees late is added to how long a job is alone."""
SPREAD: Final = 0.02
"""Seconds over which candidates that see the same lease end come for it."""

_log = logging.getLogger(__name__)


class LeadershipLost(RegattaError):  # noqa: N818 - an event, not a mistake
    """Somebody else may lead from now on: stop writing."""


class LeaseStore(Protocol):
    """One Lease object with optimistic concurrency."""

    async def read(self) -> Mapping[str, Any] | None:
        """The stored object, None when there is none."""

    async def create(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Store the first version; AlreadyExists when there is one."""

    async def replace(self, previous: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Store a spec in place of the previous version; Conflict when that is no longer the stored one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds; deadline < duration leaves the loser time to stop before anybody else may start."""

    duration: int = 15
    deadline: float = 10.0
    retry: float = 2.0
    """Between two renewals; who waits for the lease looks more often."""

    def __post_init__(self) -> None:
        if not self.retry < self.deadline < self.duration:
            raise ValueError("a lease needs retry < deadline < duration")


class Elector:
    """One candidate. `acquire`, then `hold` for as long as it leads, then `release`."""

    def __init__(self, store: LeaseStore, *, identity: str, timing: Timing = Timing()) -> None:
        self._store = store
        self._identity = identity
        self._timing = timing
        self._stored: Mapping[str, Any] | None = None
        self._sure = False
        """Whether `_stored` is what the server has, as far as we can know."""
        self._changed_at = 0.0
        self._renewed_at: float | None = None

    @property
    def leading(self) -> bool:
        """Whether our last renewal still counts. Asked before writes, so it needs no task to notice its end."""
        return self._remaining() > 0

    async def acquire(self) -> None:
        """Return when the lease is ours."""
        while True:
            if await self._attempt(seconds=self._timing.deadline / 2):
                return
            await asyncio.sleep(self._until_next_look())

    async def hold(self) -> NoReturn:
        """Renew for ever; raises LeadershipLost as soon as the lease is not surely ours any more."""
        while True:
            await asyncio.sleep(min(self._timing.retry, self._remaining()))
            # A try must not outlive the deadline that it is to keep.
            await self._attempt(seconds=min(self._timing.deadline / 2, self._remaining()))
            holder = self._holder()
            if self.leading and holder == self._identity:
                continue
            self._renewed_at = None
            if holder == self._identity:
                raise LeadershipLost("the lease could not be renewed in time; another replica may lead now")
            raise LeadershipLost(f"the lease was taken by {holder or 'nobody'}")

    async def release(self) -> None:
        """Give the lease up so that a successor need not wait for its end; never raises, does nothing when lost."""
        if self._renewed_at is None or self._stored is None or self._holder() != self._identity:
            return
        self._renewed_at = None
        spec = {**self._spec(), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _stamp()}
        try:
            async with asyncio.timeout(self._timing.retry):
                await self._store.replace(self._stored, spec)
        except (ApiError, TimeoutError) as error:
            _log.warning("the lease could not be released; it ends by itself: %s", error)

    async def _attempt(self, *, seconds: float) -> bool:
        """One try to get or keep the lease; whether it is ours now."""
        try:
            async with asyncio.timeout(seconds):
                return await self._try()
        except (ApiError, TimeoutError) as error:
            # A conflict means that what we remember is old, and a lost answer that we don't know: read next time.
            self._sure = False
            _log.debug("a try for the lease failed: %s", error)
            return False

    async def _try(self) -> bool:
        began = self._now()
        if not self._sure or self._holder() != self._identity:
            self._remember(await self._store.read())
        if self._stored is None:
            self._remember(await self._store.create(self._claim(anew=True, transitions=0)))
        else:
            holder = self._holder()
            mine = holder == self._identity
            if holder and not mine and not self._expired():
                return False
            transitions = _count(self._spec().get("leaseTransitions")) + (0 if mine else 1)
            self._remember(await self._store.replace(self._stored, self._claim(anew=not mine, transitions=transitions)))
        self._renewed_at = began
        return True

    def _until_next_look(self) -> float:
        """Seconds to wait as a candidate: never past the moment at which the lease of another ends."""
        pause = self._timing.retry / LOOKS_PER_RENEWAL * random.uniform(1.0, 1.2)  # noqa: S311 - spreads load
        left = self._changed_at + self._told_duration() - self._now()
        if not self._sure or left <= 0:
            return pause  # the server did not answer, or somebody was faster: there is no moment to wait for
        return min(pause, left + random.uniform(0, SPREAD))  # noqa: S311 - spreads load

    def _claim(self, *, anew: bool, transitions: int) -> dict[str, Any]:
        now = _stamp()
        acquired = now if anew else self._spec().get("acquireTime") or now
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._timing.duration,
            "acquireTime": acquired,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _remember(self, stored: Mapping[str, Any] | None) -> None:
        if stored is None or self._stored is None or _version(stored) != _version(self._stored):
            self._changed_at = self._now()
        self._stored = stored
        self._sure = True

    def _remaining(self) -> float:
        """Seconds for which our last renewal still counts."""
        return 0.0 if self._renewed_at is None else max(0.0, self._renewed_at + self._timing.deadline - self._now())

    def _expired(self) -> bool:
        return self._now() - self._changed_at >= self._told_duration()

    def _told_duration(self) -> int:
        return _count(self._spec().get("leaseDurationSeconds")) or self._timing.duration

    def _spec(self) -> Mapping[str, Any]:
        spec = (self._stored or {}).get("spec")
        return spec if isinstance(spec, Mapping) else {}

    def _holder(self) -> str:
        return str(self._spec().get("holderIdentity") or "")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class KubeLease:
    """The Lease in Kubernetes."""

    REQUEST_SECONDS: Final = 4.0

    def __init__(self, client: Client, *, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    async def read(self) -> Mapping[str, Any] | None:
        """The Lease as stored."""
        try:
            return await self._client.get(
                LEASES,
                namespace=self._namespace,
                name=self._name,
                lane=Lane.LEASE,
                policy=NEVER,
                seconds=self.REQUEST_SECONDS,
            )
        except NotFound:
            return None

    async def create(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first version of the Lease."""
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": spec,
        }
        return await self._client.create(LEASES, namespace=self._namespace, body=body, lane=Lane.LEASE, once=True)

    async def replace(self, previous: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The next version of the Lease."""
        return await self._client.replace(
            LEASES,
            namespace=self._namespace,
            name=self._name,
            body={**previous, "spec": spec},
            lane=Lane.LEASE,
            seconds=self.REQUEST_SECONDS,
        )


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _version(stored: Mapping[str, Any]) -> object:
    metadata = stored.get("metadata")
    return metadata.get("resourceVersion") if isinstance(metadata, Mapping) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
