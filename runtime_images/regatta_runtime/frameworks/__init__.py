"""What each framework's training processes find in their environment: one module a framework, one table here.

A module has `environment(place) -> dict`, for one process. To add a framework, write its module and name it below;
in WITH_PEERS too, if its processes listen in every worker and want a list of all (in `place.peers`, and as a file:
regatta_runtime.hostfile); in WITH_STORE, if they exchange their addresses through a key-value store.
"""

from __future__ import annotations

from typing import Callable, Dict, FrozenSet

from regatta_runtime.environment import Config
from regatta_runtime.frameworks import custom, horovod, keras, pytorch, tensorflow
from regatta_runtime.frameworks.place import Place

Environment = Callable[[Place], Dict[str, str]]

FRAMEWORKS: Dict[str, Environment] = {
    "Custom": custom.environment,
    "Horovod": horovod.environment,
    "Keras": keras.environment,
    "PyTorch": pytorch.environment,
    "TensorFlow": tensorflow.environment,
}
WITH_PEERS: FrozenSet[str] = frozenset({"Custom", "Keras on tensorflow", "TensorFlow"})
WITH_STORE: FrozenSet[str] = frozenset({"Horovod"})


def wants_peers(config: Config) -> bool:
    """Whether every process is told the addresses of all workers."""
    name = f"Keras on {config.keras_backend}" if config.framework == "Keras" else config.framework
    return name in WITH_PEERS
