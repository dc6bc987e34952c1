"""Horovod with its Gloo controller: what `horovodrun` gives its processes, without ssh and without MPI.

The processes exchange their addresses through the crew's key-value store, which each launcher offers them on its own
loopback; then they talk to each other directly. The user's own HOROVOD_* settings stay as they are.
"""

from __future__ import annotations

from typing import Dict

from regatta_runtime.frameworks.place import Place, ranks


def environment(place: Place) -> Dict[str, str]:
    """The common numbers, and the same in Horovod's words."""
    config = place.config
    return {
        **ranks(place),
        # Names what the processes of a worker tell each other alone; two workers must never share it.
        "HOROVOD_HOSTNAME": f"worker-{config.worker}",
        "HOROVOD_RANK": str(place.rank),
        "HOROVOD_SIZE": str(config.world_size),
        "HOROVOD_LOCAL_RANK": str(place.local_rank),
        "HOROVOD_LOCAL_SIZE": str(config.processes),
        "HOROVOD_CROSS_RANK": str(config.worker),
        "HOROVOD_CROSS_SIZE": str(config.workers),
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(place.store_port),
    }
