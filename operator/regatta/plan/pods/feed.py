"""The sidecar that prepares the data: a native sidecar in every worker pod, beside the training container.

It is an init container that goes on running, so the kubelet starts it first, restarts it when it dies, and ends it
after the training. Feed and program meet in a volume that is memory: its pages belong to the sidecar, which makes the
files in it, and so its memory request and limit grow by the size of the batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from regatta.api import names, reserved
from regatta.api.batches import SLOTS, buffer_bytes
from regatta.api.feeding import pipeline_text
from regatta.api.preprocessing import FeedCache, Preprocessing
from regatta.api.quantity import parse_quantity
from regatta.api.spec import TrainingJobSpec
from regatta.plan.model import Installation

__all__ = ["FEED_PORT", "FEED_WAIT_SECONDS", "FeedParts", "feed_parts"]

FEED_PORT: Final = 9466
"""Where a feed serves its metrics; its name is feed-metrics."""
FEED_WAIT_SECONDS: Final = 1800
"""How long a program waits for a feed that is still listing its data; a feed that died is noticed otherwise."""
DEFAULT_CACHE: Final = 8 << 30
MIB: Final = 1 << 20
_BUFFER: Final = "regatta-feed"
_DATA: Final = "regatta-feed-data"
_SCRATCH: Final = "regatta-feed-scratch"
SCRATCH_PATH: Final = "/tmp"  # noqa: S108 - the mount point: the root file system is read-only


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedParts:
    """What the feed adds to a worker pod."""

    container: Mapping[str, Any]
    volumes: tuple[Mapping[str, Any], ...]
    mounts: tuple[Mapping[str, Any], ...]
    """Of the training container."""
    variables: Mapping[str, str]
    """Of the training container."""


def feed_parts(spec: TrainingJobSpec, *, installation: Installation) -> FeedParts | None:
    """Return the sidecar and what belongs to it, None for a job without `preprocessing`.

    The spec must have passed validation. The parts are the same for all workers: a sidecar learns from its pod's
    label which worker it serves.
    """
    block = spec.preprocessing
    if block is None:
        return None
    memory = buffer_bytes(block, processes=spec.processes)
    assert memory is not None
    buffer = {"name": _BUFFER, "mountPath": reserved.FEED_PATH}
    volumes: list[Mapping[str, Any]] = [
        # Twice what is used: a feed that was restarted fills new files while a program still looks at the old ones.
        {"name": _BUFFER, "emptyDir": {"medium": "Memory", "sizeLimit": str(2 * memory)}},
        {"name": _SCRATCH, "emptyDir": {}},
    ]
    mounts: list[Mapping[str, Any]] = [buffer, {"name": _SCRATCH, "mountPath": SCRATCH_PATH}]
    source = block.source
    if source.volume is not None:
        volumes.append({"name": _DATA, **source.volume})
        mounts.append({"name": _DATA, "mountPath": source.mount_path or source.uri, "readOnly": True})
    elif not remote(source.uri):
        mounts += [{**mount, "readOnly": True} for mount in spec.volume_mounts]
    if spec.source is not None:  # a step `python` of the user's own
        mounts.append({"name": "regatta-source", "mountPath": reserved.WORKSPACE_PATH, "readOnly": True})
    container: dict[str, Any] = {
        "name": names.FEED,
        "image": block.image or installation.feed_image,
        "restartPolicy": "Always",
        "command": ["python3", "-m", "regatta_feed"],
        "args": _arguments(spec, block),
        "env": [*_variables(spec, block), *block.env],
        "ports": [{"name": "feed-metrics", "containerPort": FEED_PORT}],
        "volumeMounts": mounts,
        "resources": _resources(block, memory),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        # What it wrote last is why it ended.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if block.image is None:
        container["imagePullPolicy"] = installation.image_pull_policy
    if block.env_from:
        container["envFrom"] = list(block.env_from)
    if spec.source is not None:
        container["workingDir"] = reserved.WORKSPACE_PATH
    return FeedParts(
        container=container,
        volumes=tuple(volumes),
        mounts=(buffer,),
        variables={"REGATTA_FEED": reserved.FEED_PATH, "REGATTA_FEED_WAIT": str(FEED_WAIT_SECONDS)},
    )


def remote(uri: str) -> bool:
    """Whether the data is elsewhere than on a volume."""
    return "://" in uri and not uri.startswith("file://")


def _arguments(spec: TrainingJobSpec, block: Preprocessing) -> list[str]:
    options = {
        "--spec-variable": "REGATTA_FEED_SPEC",
        "--folder": reserved.FEED_PATH,
        "--worker": "$(REGATTA_WORKER)",
        "--queues": str(spec.processes),
        "--world": str(spec.world_size),
        "--slots": str(SLOTS),
        "--metrics-port": str(FEED_PORT),
        "--layout": "NHWC" if spec.on_tensorflow else "NCHW",
    }
    processes = _processes(block.resources)
    if processes is not None:
        options["--processes"] = str(processes)
    if block.cache is not FeedCache.NONE:
        size = DEFAULT_CACHE if block.cache_size is None else int(parse_quantity(block.cache_size))
        options |= {"--cache-folder": SCRATCH_PATH, "--cache-mib": str(max(1, size // MIB))}
    return [*(part for option in options.items() for part in option), "--stay"]


def _variables(spec: TrainingJobSpec, block: Preprocessing) -> Iterable[Mapping[str, Any]]:
    # The kubelet replaces $(NAME) in values; an escaped dollar is the same JSON without any.
    yield {"name": "REGATTA_FEED_SPEC", "value": pipeline_text(block).replace("$", "\\u0024")}
    yield {"name": "REGATTA_FRAMEWORK", "value": spec.framework.value}
    label = f"metadata.labels['{names.LABEL_WORKER}']"
    yield {"name": "REGATTA_WORKER", "valueFrom": {"fieldRef": {"fieldPath": label}}}


def _processes(resources: Mapping[str, Any]) -> int | None:
    """Processes that the CPUs of the sidecar are good for; None leaves it to what the sidecar finds."""
    for kind in ("limits", "requests"):
        cpu = (resources.get(kind) or {}).get("cpu")
        if cpu is not None:
            return max(1, math.ceil(parse_quantity(cpu)))
    return None


def _resources(block: Preprocessing, memory: int) -> dict[str, Any]:
    """The user's own, with the memory of the batches on top: what they see is what the processes may use."""
    resources = {key: dict(value) if key != "claims" else value for key, value in block.resources.items() if value}
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    if "memory" in limits:
        limits["memory"] = _more(limits["memory"], memory)
    if "memory" in requests or "memory" not in limits:  # else the API server takes the limit for the request
        resources["requests"] = requests | {"memory": _more(requests.get("memory", 0), memory)}
    return resources


def _more(amount: Any, memory: int) -> str:
    return str(math.ceil(parse_quantity(amount)) + memory)
