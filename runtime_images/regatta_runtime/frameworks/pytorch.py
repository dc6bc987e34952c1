"""PyTorch: the environment that torchrun gives each of its workers, variable by variable."""

from __future__ import annotations

import os
from typing import Dict

from regatta_runtime.frameworks.place import Place, ranks


def environment(place: Place) -> Dict[str, str]:
    """What `torch.distributed`'s `env://` and scripts written for torchrun read."""
    config = place.config
    return {
        **ranks(place),
        "GROUP_RANK": str(config.worker),
        "GROUP_WORLD_SIZE": str(config.workers),
        "ROLE_NAME": "default",
        "ROLE_RANK": str(place.rank),
        "ROLE_WORLD_SIZE": str(config.world_size),
        # Over the whole job, so that a script can tell its very first start from a later one, in a new pod too.
        "TORCHELASTIC_RESTART_COUNT": str(place.restarts_used),
        "TORCHELASTIC_MAX_RESTARTS": str(config.restarts_used + config.restarts),
        # The same in every generation and attempt: scripts name folders after it.
        "TORCHELASTIC_RUN_ID": config.uid or config.job,
        # Rank 0 opens the store itself; there is no agent that would have opened it before.
        "TORCHELASTIC_USE_AGENT_STORE": "False",
        "TORCHELASTIC_ERROR_FILE": "",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),
    }
