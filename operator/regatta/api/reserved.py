"""Names and places inside a worker pod that belong to Regatta, and which a job may therefore not use for itself."""

from __future__ import annotations

from typing import Final

from regatta.api import names

__all__ = [
    "FEED_PATH",
    "RESERVED_CONTAINERS",
    "RESERVED_PATHS",
    "RESERVED_PREFIX",
    "RESERVED_VARIABLES",
    "RESERVED_VOLUMES",
    "RUNTIME_PATH",
    "SHARED_MEMORY_PATH",
    "WORKSPACE_PATH",
    "is_reserved_variable",
    "is_reserved_volume",
    "reserved_path",
]

RUNTIME_PATH: Final = "/regatta"
FEED_PATH: Final = "/regatta-feed"
"""Where the training container meets its feed."""
WORKSPACE_PATH: Final = "/workspace"
SHARED_MEMORY_PATH: Final = "/dev/shm"  # noqa: S108 - the mount point, not a temporary file

RESERVED_PREFIX: Final = "regatta-"
"""Beginning of the names of our own volumes and init containers."""
RESERVED_VOLUMES: Final = ("dshm",)
RESERVED_CONTAINERS: Final = (names.FEED,)
RESERVED_PATHS: Final = (RUNTIME_PATH, FEED_PATH, SHARED_MEMORY_PATH)

VARIABLE_PREFIXES: Final = ("REGATTA_", "TORCHELASTIC_", "PET_")
SETTABLE_VARIABLES: Final = (
    "REGATTA_LOG_PREFIX",
    "REGATTA_GROUP_CHECK",
    "REGATTA_KERAS_REPAIR",
    "REGATTA_KERAS_PARALLEL",
    "REGATTA_MEASURE",
    "REGATTA_SAMPLES_PER_STEP",
)
RESERVED_VARIABLES: Final = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_NAME",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TF_CONFIG",
    "HOROVOD_HOSTNAME",
    "HOROVOD_RANK",
    "HOROVOD_SIZE",
    "HOROVOD_LOCAL_RANK",
    "HOROVOD_LOCAL_SIZE",
    "HOROVOD_CROSS_RANK",
    "HOROVOD_CROSS_SIZE",
    "HOROVOD_CONTROLLER",
    "HOROVOD_CPU_OPERATIONS",
    "HOROVOD_GLOO_RENDEZVOUS_ADDR",
    "HOROVOD_GLOO_RENDEZVOUS_PORT",
)


def is_reserved_variable(name: str) -> bool:
    """Whether the launcher computes this variable, so that a value from the job would break the rendezvous."""
    if name in SETTABLE_VARIABLES:
        return False
    return name in RESERVED_VARIABLES or name.startswith(VARIABLE_PREFIXES)


def is_reserved_volume(name: str) -> bool:
    """Whether a volume of this name is one of ours."""
    return name in RESERVED_VOLUMES or name.startswith(RESERVED_PREFIX)


def reserved_path(path: str) -> str | None:
    """The reserved place that the path lies in or is, None where it is free."""
    return next((place for place in RESERVED_PATHS if path == place or path.startswith(f"{place}/")), None)
