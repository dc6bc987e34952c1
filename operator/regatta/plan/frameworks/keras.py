"""Keras 3: what its backend's own framework wants, and the variable that chooses the backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from regatta.api.spec import KerasBackend, TrainingJobSpec
from regatta.plan.frameworks.base import Framework
from regatta.plan.frameworks.pytorch import PyTorch
from regatta.plan.frameworks.tensorflow import TensorFlow

__all__ = ["Keras"]

BACKENDS: Final[dict[KerasBackend, Framework]] = {
    KerasBackend.TORCH: PyTorch(),
    KerasBackend.TENSORFLOW: TensorFlow(),
}


class Keras:
    """Without the runtime nothing makes several processes one: that is the program's own work then."""

    def environment(self, spec: TrainingJobSpec, *, worker: int, leader: str) -> Mapping[str, str]:
        """The backend's variables and KERAS_BACKEND; validation has seen to it that there is a backend."""
        assert spec.keras_backend is not None
        variables = BACKENDS[spec.keras_backend].environment(spec, worker=worker, leader=leader)
        return {**variables, "KERAS_BACKEND": spec.keras_backend.value}
