"""Keras 3: the environment of what it computes with, and the word that makes it do so."""

from __future__ import annotations

from typing import Dict

from regatta_runtime.frameworks import pytorch, tensorflow
from regatta_runtime.frameworks.place import Place

BACKENDS = {"torch": pytorch.environment, "tensorflow": tensorflow.environment}


def environment(place: Place) -> Dict[str, str]:
    """KERAS_BACKEND as the job says it, and what that backend's own jobs find."""
    backend = place.config.keras_backend
    return {**BACKENDS[backend](place), "KERAS_BACKEND": backend}
