"""TensorFlow: one process a worker, told of all others by TF_CONFIG.

MirroredStrategy drives the GPUs of a pod from one process; MultiWorkerMirroredStrategy joins such processes. It reads
TF_CONFIG, and takes worker 0 for the chief where no chief is named.
"""

from __future__ import annotations

import json
import os
from typing import Dict

from regatta_runtime.frameworks.place import Place, ranks

XLA_FLAGS = "TF_XLA_FLAGS"
# Auto-clustering; on CPUs it has a switch of its own.
XLA = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"


def environment(place: Place) -> Dict[str, str]:
    """The common numbers; TF_CONFIG where there is more than one worker, and XLA where the job asks for it."""
    variables = ranks(place)
    config = place.config
    if config.workers > 1:
        cluster = {"worker": list(place.peers)}
        task = {"type": "worker", "index": config.worker}
        variables["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task}, separators=(",", ":"))
    if config.compile:
        # The user's own flags come last: of two the last one counts.
        variables[XLA_FLAGS] = " ".join(filter(None, (XLA, os.environ.get(XLA_FLAGS, ""))))
    return variables
