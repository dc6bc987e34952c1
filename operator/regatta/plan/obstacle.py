"""Why an attempt is not running yet: the first real obstacle among its pods, in words that say what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from regatta.api import names
from regatta.api.status import Cause
from regatta.plan.crew import Crew, trainer_of
from regatta.plan.model import Observed, PodFacts

__all__ = ["Obstacle", "first_obstacle", "silent_pods"]

IMAGE_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"})
CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError"})
CREATE_REASONS: Final = frozenset({"CreateContainerError", "RunContainerError", "CrashLoopBackOff"})
INVALID_IMAGE: Final = "InvalidImageName"

SILENCE: Final = timedelta(seconds=3)
"""A pod that has a node and starts no container for so long is asked for its events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What hinders the attempt, as a status reason and message."""

    cause: Cause
    message: str
    fatal: bool = False
    """Whether no waiting can heal it."""


def first_obstacle(crew: Crew, observed: Observed) -> Obstacle | None:
    """Return the first obstacle by worker, None while all pods get on.

    What a kubelet says of a container comes before what the scheduler says of another pod: it is nearer to running.
    """
    pods = [crew.members[worker] for worker in sorted(crew.members)]
    for pod in pods:
        obstacle = _container_obstacle(pod)
        if obstacle is not None:
            return obstacle
    for pod in pods:
        words = observed.warnings.get(pod.name)
        if words and _waits_for_kubelet(pod):
            return Obstacle(cause=Cause.CONFIG_ERROR, message=f"worker {pod.worker} on node {pod.node}: {words}")
    waiting = [pod for pod in pods if pod.unschedulable]
    if waiting:
        which = f"worker {waiting[0].worker}" if len(waiting) == 1 else f"{len(waiting)} of {crew.desired} workers"
        return Obstacle(cause=Cause.UNSCHEDULABLE, message=f"no node takes {which}: {waiting[0].unschedulable}")
    return None


def silent_pods(crew: Crew, *, now: datetime) -> tuple[str, ...]:
    """Names of at most one pod that hangs on its node without a reason in its own status (a missing volume, say)."""
    for worker in sorted(crew.members):
        pod = crew.members[worker]
        since = pod.scheduled_at
        if _waits_for_kubelet(pod) and since is not None and now - since >= SILENCE:
            return (pod.name,)
    return ()


def _container_obstacle(pod: PodFacts) -> Obstacle | None:
    for container in pod.containers:
        reason, words = container.waiting_reason, container.waiting_message
        who = (
            f"worker {pod.worker}" if container.name == names.TRAINER else f"container {container.name} of {pod.worker}"
        )
        if reason == INVALID_IMAGE:
            return Obstacle(cause=Cause.INVALID_IMAGE_NAME, message=f"{who}: {words}; correct spec.image", fatal=True)
        if reason in IMAGE_REASONS:
            return Obstacle(
                cause=Cause.IMAGE_ERROR,
                message=f"{who} cannot get its image: {words or reason}; check spec.image and its pull secret",
            )
        if reason in CONFIG_REASONS:
            return Obstacle(cause=Cause.CONFIG_ERROR, message=f"{who} cannot be configured: {words or reason}")
        if reason in CREATE_REASONS:
            return Obstacle(cause=Cause.CREATE_ERROR, message=f"{who} cannot be started: {words or reason}")
    return None


def _waits_for_kubelet(pod: PodFacts) -> bool:
    """Whether the pod has a node and none of its containers has ever started."""
    trainer = trainer_of(pod)
    return (
        pod.scheduled
        and pod.phase == "Pending"
        and pod.deleting_since is None
        and (trainer is None or trainer.waiting_reason in {"", "ContainerCreating", "PodInitializing"})
        and all(c.running_since is None and c.exit_code is None for c in pod.containers)
    )
