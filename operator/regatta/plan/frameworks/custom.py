"""Custom: any program, with the process-group variables that most of them read."""

from __future__ import annotations

from collections.abc import Mapping

from regatta.api.spec import TrainingJobSpec
from regatta.plan.frameworks.base import COORDINATION_PORT

__all__ = ["Custom"]


class Custom:
    """Names the group; ranks of single processes are given only where a pod holds exactly one."""

    def environment(self, spec: TrainingJobSpec, *, worker: int, leader: str) -> Mapping[str, str]:
        """Address and size of the group, and this pod's place in it."""
        variables = {
            "MASTER_ADDR": leader,
            "MASTER_PORT": str(COORDINATION_PORT),
            "WORLD_SIZE": str(spec.workers * spec.processes),
            "LOCAL_WORLD_SIZE": str(spec.processes),
            "GROUP_RANK": str(worker),
            "GROUP_WORLD_SIZE": str(spec.workers),
        }
        if spec.processes == 1:
            variables |= {"RANK": str(worker), "LOCAL_RANK": "0"}
        return variables
