"""PyTorch: the Custom environment, and torchrun's PET_* variables for entrypoints that call it."""

from __future__ import annotations

from collections.abc import Mapping

from regatta.api.spec import TrainingJobSpec
from regatta.plan.frameworks.base import COORDINATION_PORT
from regatta.plan.frameworks.custom import Custom

__all__ = ["PyTorch"]


class PyTorch(Custom):
    """Speaks to `torchrun` through its environment; see torch.distributed.run for the variables."""

    def environment(self, spec: TrainingJobSpec, *, worker: int, leader: str) -> Mapping[str, str]:
        """Static rendezvous at worker 0: the size is known, so nothing has to be discovered."""
        return {
            **super().environment(spec, worker=worker, leader=leader),
            "PET_NNODES": str(spec.workers),
            "PET_NODE_RANK": str(worker),
            "PET_NPROC_PER_NODE": str(spec.processes),
            "PET_MASTER_ADDR": leader,
            "PET_MASTER_PORT": str(COORDINATION_PORT),
        }
