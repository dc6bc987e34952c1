"""What a framework must answer on the operator's side; its launching side lives in the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from regatta.api.spec import TrainingJobSpec

__all__ = ["COORDINATION_PORT", "Framework"]

COORDINATION_PORT = 29500
"""Where rank 0 listens when no launcher chooses a port; torchrun's own default."""


class Framework(Protocol):
    """Fills the environment of a worker whose processes Regatta does not launch itself (`runtime: Off`)."""

    def environment(self, spec: TrainingJobSpec, *, worker: int, leader: str) -> Mapping[str, str]:
        """Variables for worker `worker` (0-based) when worker 0 is reached under the name `leader`.

        The size of the answer must not grow with the number of workers.
        """
