"""What is done to one job: a part of it is killed or deleted, and its books get what the status has to say of it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.accounts import CREW_LOST, POD_DELETED, USER_ERROR, Account, Causes
from tests.chaos.jobs import SIDECAR
from tests.cluster.kit import Api, container_processes, main_process

__all__ = ["STRIKES", "Strike", "Target", "training_pids"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A running job, by the pods of its attempt in the order of their workers."""

    api: Api
    namespace: str
    pods: list[dict[str, Any]]
    choice: random.Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One way to harm a job."""

    name: str
    weight: int
    do: Callable[[Target], bool]
    """Whether there was something to harm."""
    causes: Causes | None
    """What the failure may be called; None where nobody should care."""
    in_place: bool = False
    needs_sidecar: bool = False

    def enter(self, account: Account) -> None:
        """Write down what has been done."""
        if self.causes is not None:
            (account.in_place if self.in_place else account.attempts).append(self.causes)


def training_pids(pod: dict[str, Any]) -> dict[int, int]:
    """Pids of the training processes of a pod by rank, without the children that have inherited a rank."""
    ranked = [each for each in container_processes(pod, container="trainer") if "RANK" in each.environment]
    pids = {each.pid for each in ranked}
    return {int(each.environment["RANK"]): each.pid for each in ranked if each.parent not in pids}


def _kill(pids: Iterable[int]) -> bool:
    killed = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
    return killed > 0


def _one_process(target: Target) -> bool:
    pids = training_pids(target.choice.choice(target.pods))
    return _kill([target.choice.choice(sorted(pids.values()))] if pids else [])


def _all_processes(target: Target) -> bool:
    return _kill(training_pids(target.choice.choice(target.pods)).values())


def _main_process(target: Target, container: str) -> bool:
    process = main_process(target.choice.choice(target.pods), container=container)
    return _kill([process.pid] if process is not None else [])


def _native_or_not(target: Target) -> bool:
    """The sidecar's main process; a native one stands among the init containers, whose statuses lie elsewhere."""
    pod = target.choice.choice(target.pods)
    status = pod["status"]
    both = [*status.get("containerStatuses", []), *status.get("initContainerStatuses", [])]
    process = main_process({**pod, "status": {**status, "containerStatuses": both}}, container=SIDECAR)
    return _kill([process.pid] if process is not None else [])


def _delete(target: Target, grace: int | None) -> bool:
    name = target.choice.choice(target.pods)["metadata"]["name"]
    target.api.delete("pods", name, namespace=target.namespace, grace=grace)
    return True


STRIKES: Final = (
    Strike(name="kill a training process", weight=6, do=_one_process, causes=USER_ERROR, in_place=True),
    Strike(name="kill all processes of a pod", weight=3, do=_all_processes, causes=USER_ERROR, in_place=True),
    Strike(name="kill a launcher", weight=3, do=lambda target: _main_process(target, "trainer"), causes=CREW_LOST),
    Strike(name="delete a pod", weight=3, do=lambda target: _delete(target, None), causes=POD_DELETED),
    Strike(name="delete a pod by force", weight=3, do=lambda target: _delete(target, 0), causes=POD_DELETED),
    Strike(name="kill a sidecar", weight=6, do=_native_or_not, causes=None, needs_sidecar=True),
)
