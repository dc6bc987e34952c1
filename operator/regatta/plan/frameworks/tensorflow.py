"""TensorFlow: TF_CONFIG names every worker, so only the launcher in the pod can compute it without growing the pod."""

from __future__ import annotations

from collections.abc import Mapping

from regatta.api.spec import TrainingJobSpec
from regatta.plan.frameworks.custom import Custom

__all__ = ["TensorFlow"]

XLA_FLAGS = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"


class TensorFlow(Custom):
    """One worker without a launcher needs no TF_CONFIG; several without one are refused by validation."""

    def environment(self, spec: TrainingJobSpec, *, worker: int, leader: str) -> Mapping[str, str]:
        """The Custom environment, and auto-clustering by XLA where the job asks for it."""
        variables = dict(super().environment(spec, worker=worker, leader=leader))
        given = any(variable.get("name") == "TF_XLA_FLAGS" for variable in spec.env)
        return variables | ({"TF_XLA_FLAGS": XLA_FLAGS} if spec.compile and not given else {})
