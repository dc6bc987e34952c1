"""Any program: the common numbers, and REGATTA_* for the rest; REGATTA_HOSTFILE lists all workers."""

from __future__ import annotations

from typing import Dict

from regatta_runtime.frameworks.place import Place, ranks


def environment(place: Place) -> Dict[str, str]:
    """RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT; the pod's own number in GROUP_RANK."""
    group = {"GROUP_RANK": str(place.config.worker), "GROUP_WORLD_SIZE": str(place.config.workers)}
    return {**ranks(place), **group}
