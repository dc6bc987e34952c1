"""Sorts a job's pods once: who belongs to the running attempt, in what state, and who is garbage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from regatta.api import names
from regatta.api.status import Workers
from regatta.plan.model import ContainerFacts, PodFacts
from regatta.plan.report import CrewFailure, CrewReport, read_report

__all__ = ["Crew", "has_failed", "has_succeeded", "is_over", "is_training", "report_of", "trainer_of"]


def trainer_of(pod: PodFacts) -> ContainerFacts | None:
    """Return the training container's facts, None before the kubelet has reported any."""
    return next((c for c in pod.containers if c.name == names.TRAINER and not c.init), None)


def report_of(pod: PodFacts) -> CrewReport | None:
    """Return what the pod's launcher left as its last words, None where it left none."""
    trainer = trainer_of(pod)
    return None if trainer is None else read_report(trainer.termination_message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The pods of one attempt by worker, and the pods that no attempt wants any more."""

    desired: int
    members: Mapping[int, PodFacts]
    """Pods of the current attempt, by worker."""
    garbage: tuple[PodFacts, ...]
    """Pods of other attempts, of workers the job does not have, or of an earlier job of the same name."""

    @classmethod
    def muster(cls, pods: Iterable[PodFacts], *, uid: str, attempt: int, desired: int) -> Crew:
        """Sort `pods`: a member is owned by this job, carries its attempt and a worker below `desired`."""
        members: dict[int, PodFacts] = {}
        garbage = []
        for pod in pods:
            if pod.owner_uid == uid and pod.attempt == attempt and 0 <= pod.worker < desired:
                members[pod.worker] = pod
            else:
                garbage.append(pod)
        return cls(desired=desired, members=members, garbage=tuple(garbage))

    @property
    def missing(self) -> tuple[int, ...]:
        """Workers without a pod."""
        return tuple(worker for worker in range(self.desired) if worker not in self.members)

    @property
    def all_pods(self) -> tuple[PodFacts, ...]:
        """Members and garbage."""
        return (*self.members.values(), *self.garbage)

    @property
    def succeeded(self) -> int:
        """Workers whose training container ended with 0; sidecars have no say."""
        return sum(map(has_succeeded, self.members.values()))

    @property
    def failed(self) -> int:
        """Workers whose pod can train no more."""
        return sum(map(has_failed, self.members.values()))

    @property
    def ready(self) -> int:
        """Workers that train: their processes have joined, and have not ended."""
        return sum(is_training(pod) for pod in self.members.values())

    @property
    def joined(self) -> bool:
        """Whether every worker has joined, those that already finished included."""
        return not self.missing and all(is_training(pod) or has_succeeded(pod) for pod in self.members.values())

    @property
    def all_scheduled(self) -> bool:
        """Whether every worker has a node."""
        return not self.missing and all(pod.scheduled for pod in self.members.values())

    @property
    def first_scheduled_at(self) -> datetime | None:
        """When the attempt began to hold a node, None while it holds nothing."""
        times = [pod.scheduled_at for pod in self.members.values() if pod.scheduled_at is not None]
        return min(times, default=None)

    @property
    def last_joined_at(self) -> datetime | None:
        """When the last worker joined, as far as pods still tell."""
        return max((pod.ready_at for pod in self.members.values() if pod.ready_at is not None), default=None)

    @property
    def last_began_at(self) -> datetime | None:
        """When the last training container started, whether or not it still runs."""
        trainers = map(trainer_of, self.members.values())
        return max((t.began_at for t in trainers if t is not None and t.began_at is not None), default=None)

    @property
    def last_finished_at(self) -> datetime | None:
        """When the last training container that ended did so."""
        trainers = map(trainer_of, self.members.values())
        return max((t.finished_at for t in trainers if t is not None and t.finished_at is not None), default=None)

    @property
    def restarts_in_place(self) -> tuple[int, tuple[CrewFailure, ...]]:
        """In-place restarts as the pods' last words count them, and the latest of them one by one.

        A pod killed outright left no message; its peers have.
        """
        reports = [report for report in map(report_of, self.members.values()) if report is not None]
        longest = max(reports, key=lambda report: report.restarts, default=None)
        return (0, ()) if longest is None else (longest.restarts, longest.failures)

    def count(self) -> Workers:
        """The workers by how far they have come, as the status tells it."""
        return Workers(
            desired=self.desired,
            created=len(self.members),
            ready=self.ready,
            succeeded=self.succeeded,
            failed=self.failed,
        )


def has_succeeded(pod: PodFacts) -> bool:
    """Whether the training container ended with 0."""
    trainer = trainer_of(pod)
    if trainer is not None and trainer.exit_code is not None:
        return trainer.exit_code == 0
    return pod.phase == "Succeeded"


def has_failed(pod: PodFacts) -> bool:
    """Whether the pod can train no more although it did not succeed: ended, rejected, evicted or being deleted."""
    if has_succeeded(pod):
        return False
    trainer = trainer_of(pod)
    ended = trainer is not None and trainer.exit_code is not None
    return ended or pod.phase == "Failed" or pod.deleting_since is not None


def is_over(pod: PodFacts) -> bool:
    """Whether nothing of the pod runs any more, which its phase tells only some moments later."""
    containers = [container for container in pod.containers if not container.init]
    ended = bool(containers) and all(container.exit_code is not None for container in containers)
    return ended or pod.phase in {"Succeeded", "Failed"}


def is_training(pod: PodFacts) -> bool:
    """Whether the training container has joined its crew and still runs."""
    trainer = trainer_of(pod)
    return (
        trainer is not None
        and trainer.started
        and trainer.running_since is not None
        and trainer.exit_code is None
        and pod.deleting_since is None
    )
