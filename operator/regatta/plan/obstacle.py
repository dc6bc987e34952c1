"""Why an attempt is not running yet: the first real obstacle among its pods, in words that say what to do.

The order: what no waiting heals; what a pod on a node lacks (a ConfigMap, a volume); its image; its container; a pod
that has no node; last those of its gang that wait for it. What is nearer to running comes first, for it holds a node
while it waits. Within one kind the lowest worker speaks for all.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from regatta.api import names
from regatta.api.spec import TrainingJobSpec
from regatta.api.status import Cause
from regatta.plan.crew import Crew
from regatta.plan.model import ContainerFacts, Observed, PodFacts
from regatta.plan.placing import Placing, placing
from regatta.plan.pulling import Pull, pull
from regatta.plan.words import one_line

__all__ = ["Obstacle", "first_obstacle", "silent_pods"]

IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
        "SignatureValidationFailed",
    }
)
CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError"})
CREATE_REASONS: Final = frozenset(
    {"CreateContainerError", "RunContainerError", "CrashLoopBackOff", "PreStartHookError", "PostStartHookError"}
)
INVALID_IMAGE: Final = "InvalidImageName"
NOT_YET: Final = ("services have not yet been read",)
"""What a kubelet says for a moment after its own start, and nobody can do anything about."""

_SILENT: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons for waiting that give none."""

SILENCE: Final = timedelta(seconds=3)
"""A pod that has a node and starts no container for so long is asked for its events."""

MAX_SILENT: Final = 4
"""How many are asked: each costs a request."""

_VOLUME: Final = re.compile(r'(?:MountVolume|MapVolume|AttachVolume)\.\w{1,40} failed for volume "([^"]{1,253})" ?: ')
_WHO: Final = re.compile(r' \(pod: "[^"]{1,512}", container: [^)]{1,253}\)')
"""What the message says already in other words."""
_SANDBOX: Final = "pod sandbox"
_ADVICE: Final = (
    ("couldn't find key", "add the key, or correct it in the job"),
    ("non-existent config key", "add the key, or correct it in the job"),
    ('configmap "', "create the ConfigMap in the job's namespace, or correct its name"),
    ('secret "', "create the Secret in the job's namespace, or correct its name"),
    ("runAsNonRoot", "set podTemplate.spec.securityContext.runAsUser to a number that the image can live with"),
    ("non-root policy", "set podTemplate.spec.securityContext.runAsUser to a number other than 0"),
    ("Multi-Attach", "use a volume that several nodes can mount (ReadWriteMany), or wait until its other pod ends"),
    ("hostPath type check failed", "correct the path, or create it on the node"),
    (_SANDBOX, "have the node's network and container runtime looked at (kubectl describe node)"),
    ("executable file not found", "correct the command, or use an image that holds it"),
    ("no command specified", "give spec.command"),
    ("restarting failed container", "its log says why: kubectl logs POD -c CONTAINER"),
)
"""What helps, by the first of these words in the kubelet's message."""
_ELSE: Final = {
    Cause.CONFIG_ERROR: "correct what the pod mounts or takes its environment from",
    Cause.CREATE_ERROR: "kubectl describe pod has the node's full answer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What hinders the attempt, as a status reason and message."""

    cause: Cause
    message: str
    """What hinders, and after the last semicolon what to do."""
    fatal: bool = False
    """Whether no waiting can heal it."""
    fix: str = ""
    """What to do, by itself."""
    worker: int | None = None
    """The worker that speaks for all whom it hinders."""
    container: str = ""
    """The container that hangs, where it is a container's."""

    @property
    def what(self) -> str:
        """What hinders, without the advice."""
        return self.message.removesuffix(f"; {self.fix}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What hinders one pod."""

    rank: int
    pod: PodFacts
    cause: Cause
    what: str
    fix: str
    fatal: bool = False
    container: str = ""
    fitting: tuple[int, int] | None = None
    """For a pod of a gang that waits for others: how many find room, and how many must."""


def first_obstacle(crew: Crew, observed: Observed, spec: TrainingJobSpec | None = None) -> Obstacle | None:
    """Return the first obstacle, None while all pods get on."""
    # Pods of one job mostly say the same: a thousand of them must not cost a thousand readings.
    reader = _Reader(
        place=functools.cache(functools.partial(placing, spec=spec)),
        pull=functools.cache(functools.partial(pull, spec=spec, installation=observed.installation)),
    )
    found = [
        finding
        for pod in crew.members.values()
        if pod.deleting_since is None
        for finding in _findings(pod, observed, reader)
    ]
    if not found:
        return None
    first = min(found, key=lambda finding: (finding.rank, finding.pod.worker))
    alike = {finding.pod.worker for finding in found if (finding.rank, finding.cause) == (first.rank, first.cause)}
    if first.pod.scheduled:
        who = (
            f"worker {first.pod.worker}" if not first.container else f"container {first.container} of {first.pod.name}"
        )
        who += f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        where = f" on node {first.pod.node}" if first.pod.node and len(alike) == 1 else ""
        what = f"{who}{where}: {first.what}"
    elif first.fitting is not None:
        what = first.what
    else:
        who = f"worker {first.pod.worker}" if len(alike) == 1 else f"{len(alike)} of {crew.desired} workers"
        what = f"no node takes {who}: {first.what}"
        waiting = next((each.what for each in found if each.fitting is not None), "")
        what = f"{waiting}: {what}" if waiting else what
    return Obstacle(
        cause=first.cause,
        message=f"{what}; {first.fix}",
        fatal=first.fatal,
        fix=first.fix,
        worker=first.pod.worker,
        container=first.container or (names.TRAINER if first.rank < _UNPLACED and first.pod.containers else ""),
    )


def silent_pods(crew: Crew, *, now: datetime) -> tuple[str, ...]:
    """Names of some pods that hang on their nodes without a reason in their own status (a missing volume, say).

    One for each of a few nodes: the first worker may hang because it pulls a large image, and another for good.
    """
    silent: dict[str, str] = {}
    for worker in sorted(crew.members):
        pod = crew.members[worker]
        since = pod.scheduled_at
        if _waits_for_kubelet(pod) and since is not None and now - since >= SILENCE:
            silent.setdefault(pod.node, pod.name)
            if len(silent) == MAX_SILENT:
                break
    return tuple(silent.values())


_FATAL, _CONFIG, _IMAGE, _CREATE, _UNPLACED, _WAITING = range(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads foreign words for one job, equal ones once."""

    place: Callable[[str], Placing]
    pull: Callable[[str, str], Pull]


def _findings(pod: PodFacts, observed: Observed, reader: _Reader) -> Iterator[_Finding]:
    for container in pod.containers:
        finding = _container_finding(pod, container, reader)
        if finding is not None:
            yield finding
    words = observed.warnings.get(pod.name)
    if words and _waits_for_kubelet(pod):
        sandbox = _SANDBOX in words
        cause = Cause.CREATE_ERROR if sandbox else Cause.CONFIG_ERROR
        yield _Finding(
            rank=_CREATE if sandbox else _CONFIG, pod=pod, cause=cause, what=_kubelet(words), fix=_advice(cause, words)
        )
    if pod.unschedulable and not pod.scheduled:
        place = reader.place(pod.unschedulable)
        cause = Cause.CONFIG_ERROR if place.missing_claim else Cause.UNSCHEDULABLE
        rank = _UNPLACED if place.fitting is None else _WAITING
        yield _Finding(rank=rank, pod=pod, cause=cause, what=place.what, fix=place.fix, fitting=place.fitting)


def _container_finding(pod: PodFacts, container: ContainerFacts, reader: _Reader) -> _Finding | None:
    reason, words = container.waiting_reason, container.waiting_message
    name = "" if container.name == names.TRAINER else one_line(container.name, limit=63)
    if reason == INVALID_IMAGE:
        return _Finding(
            rank=_FATAL,
            pod=pod,
            cause=Cause.INVALID_IMAGE_NAME,
            what=one_line(words) or "its image's name is none",
            fix="correct spec.image",
            fatal=True,
            container=name,
        )
    if reason in IMAGE_REASONS:
        pulled = reader.pull(reason, words)
        return _Finding(rank=_IMAGE, pod=pod, cause=Cause.IMAGE_ERROR, what=pulled.what, fix=pulled.fix, container=name)
    if any(passing in words for passing in NOT_YET):
        return None
    for reasons, rank, cause in (
        (CONFIG_REASONS, _CONFIG, Cause.CONFIG_ERROR),
        (CREATE_REASONS, _CREATE, Cause.CREATE_ERROR),
    ):
        if reason in reasons:
            what = _kubelet(words) or reason
            return _Finding(rank=rank, pod=pod, cause=cause, what=what, fix=_advice(cause, words), container=name)
    return None


def _kubelet(words: str) -> str:
    """A kubelet's message with the volume's name first and without the name of the function that failed."""
    line = _WHO.sub("", one_line(words, limit=2048), count=1)
    return one_line(_VOLUME.sub(r"volume \1: ", line, count=1))


def _advice(cause: Cause, words: str) -> str:
    return next((advice for known, advice in _ADVICE if known in words), _ELSE[cause])


def _waits_for_kubelet(pod: PodFacts) -> bool:
    """Whether the pod has a node, none of its containers has ever started, and none says why."""
    return (
        pod.scheduled
        and pod.phase == "Pending"
        and pod.deleting_since is None
        and all(c.running_since is None and c.exit_code is None and c.waiting_reason in _SILENT for c in pod.containers)
    )
