"""Where one training process stands in the crew, and what every framework's processes are told of it."""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

from regatta_runtime.environment import Config


class Place(NamedTuple):
    """One process of one generation."""

    config: Config
    local_rank: int
    generation: int
    master: Tuple[str, int]  # where rank 0 can be reached
    restarts: int  # in place, before this generation
    peers: Tuple[str, ...] = ()  # ADDRESS:PORT of every worker, for frameworks of `WITH_PEERS`
    store_port: int = 0  # the crew's store on this pod's loopback, for frameworks of `WITH_STORE`

    @property
    def rank(self) -> int:
        """Its number in the whole crew: a worker's processes are neighbours."""
        return self.config.worker * self.config.processes + self.local_rank

    @property
    def restarts_used(self) -> int:
        """Restarts of this job so far, in place and by new attempts."""
        return self.config.restarts_used + self.restarts


def master(place: Place) -> Dict[str, str]:
    """Where to meet; the same for every process of the generation."""
    return {"MASTER_ADDR": place.master[0], "MASTER_PORT": str(place.master[1])}


def ranks(place: Place) -> Dict[str, str]:
    """The numbers that nearly every framework wants."""
    return {
        "RANK": str(place.rank),
        "LOCAL_RANK": str(place.local_rank),
        "WORLD_SIZE": str(place.config.world_size),
        "LOCAL_WORLD_SIZE": str(place.config.processes),
        **master(place),
    }


def threads(place: Place, environ: Dict[str, str]) -> Dict[str, str]:
    """One thread a process where several share a pod and nobody said otherwise, or they would fight for the CPUs."""
    shared = place.config.processes > 1 and "OMP_NUM_THREADS" not in environ
    return {"OMP_NUM_THREADS": "1"} if shared else {}
