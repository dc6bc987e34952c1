"""No gang: every pod is scheduled on its own, as the default scheduler does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regatta.plan.model import Create, Delete, Job

__all__ = ["NoGang"]


class NoGang:
    """Adds nothing to a job."""

    name = "None"

    def children(self, job: Job, *, attempt: int) -> tuple[Create, ...]:
        """No objects."""
        return ()

    def leftovers(self, job: Job, *, attempt: int) -> tuple[Delete, ...]:
        """No objects."""
        return ()

    def pod_spec(self, job: Job, *, attempt: int) -> Mapping[str, Any]:
        """No fields."""
        return {}

    def group(self, job: Job, *, attempt: int) -> str:
        """No object."""
        return ""
