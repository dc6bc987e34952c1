"""What a gang scheduler must answer; one file beside this one implements it for each scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from regatta.plan.model import Create, Delete, Job

__all__ = ["GangScheduler"]


class GangScheduler(Protocol):
    """Lets all workers of an attempt be scheduled together or not at all."""

    @property
    def name(self) -> str:
        """The word a user writes in `spec.scheduling.gang`."""

    def children(self, job: Job, *, attempt: int) -> tuple[Create, ...]:
        """Objects the attempt needs besides its pods, in the order of creation."""

    def leftovers(self, job: Job, *, attempt: int) -> tuple[Delete, ...]:
        """Objects of the attempt before this one."""

    def pod_spec(self, job: Job, *, attempt: int) -> Mapping[str, Any]:
        """Fields that every worker's pod spec gets so that the scheduler sees the gang."""

    def group(self, job: Job, *, attempt: int) -> str:
        """Name of the object whose conditions tell how the gang fares; empty where there is none."""
