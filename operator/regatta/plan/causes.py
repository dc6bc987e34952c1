"""Why an attempt failed: classified from the facts of its pods, first by what Kubernetes says, then by the crew.

Exit code 137 alone never means out of memory: every SIGKILL gives it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from regatta.api.status import Cause
from regatta.plan.crew import Crew, has_failed, report_of, trainer_of
from regatta.plan.model import ContainerFacts, PodFacts
from regatta.plan.report import CrewReport
from regatta.plan.starting import CORRECT_COMMAND, cannot_start, is_about_command
from regatta.plan.verdict import Verdict

__all__ = ["first_failure"]

EXIT_CREW_LOST: Final = 72
"""A launcher that lost its crew through no fault of its own processes."""
EXIT_KILLED: Final = 137
TOLD_TO_STOP: Final = "Terminated"
"""What a launcher reports that got SIGTERM: mostly because its pod is deleted, but any process in it may send one."""

DISRUPTIONS: Final = {
    "PreemptionByScheduler": Cause.PREEMPTED,
    "DeletionByTaintManager": Cause.NODE_LOST,
    "EvictionByEvictionAPI": Cause.EVICTED,
    "DeletionByPodGC": Cause.NODE_LOST,
}
"""Reasons of the pod condition DisruptionTarget (core/v1, set by the control plane)."""

POD_REASONS: Final = {
    "Evicted": Cause.EVICTED,
    "Preempting": Cause.PREEMPTED,
    "NodeLost": Cause.NODE_LOST,
    "NodeShutdown": Cause.NODE_SHUTDOWN,
    "Shutdown": Cause.NODE_SHUTDOWN,
    "Terminated": Cause.NODE_SHUTDOWN,
}
"""status.reason of a pod that the kubelet or a controller failed."""

REJECTIONS: Final = ("OutOf", "UnexpectedAdmissionError", "NodeAffinity", "TopologyAffinityError", "Topology")
"""Beginnings of status.reason when a kubelet refuses a pod that was already bound to it."""

HOPELESS: Final = frozenset({Cause.CONFIG_ERROR.value, "CommandNotFound", "CommandNotExecutable"})
"""What a launcher reports of a program that the same image and spec would never start: no restart heals it."""


def first_failure(crew: Crew, *, all_created: bool, now: datetime, launched: bool = False) -> Verdict | None:
    """Return what made the attempt fail, None while every member can still train.

    `all_created` says that each pod of the attempt was once created: then a missing one was deleted by somebody.
    `launched` says that our launcher is the first process of the training containers, not the user's program.
    """
    verdicts = [_verdict(pod, crew, launched=launched, now=now) for pod in crew.members.values() if has_failed(pod)]
    first = min(verdicts, key=lambda verdict: (verdict.symptom, verdict.at), default=None)
    if all_created and crew.missing and (first is None or first.symptom):
        # Whoever lost its crew lost the one that is missing.
        worker = crew.missing[0]
        others = f" and {len(crew.missing) - 1} more" if len(crew.missing) > 1 else ""
        return Verdict(
            cause=Cause.POD_DELETED,
            message=f"the pod of worker {worker}{others} was deleted by somebody else",
            at=now if first is None else first.at,
        )
    return first


def _verdict(pod: PodFacts, crew: Crew, *, launched: bool, now: datetime) -> Verdict:
    trainer = trainer_of(pod)
    at = (trainer.finished_at if trainer is not None else None) or pod.deleting_since or now
    report = report_of(pod)
    cause, message = _cause(pod, trainer, report=report, launched=launched)
    symptom = cause is Cause.CREW_LOST and trainer is not None and trainer.exit_code == EXIT_CREW_LOST
    lost = crew.members.get(report.worker, pod) if symptom and report and report.worker is not None else pod
    return Verdict(
        cause=cause,
        message=message,
        at=at,
        pod=lost.name,
        node=lost.node,
        exit_code=trainer.exit_code if trainer is not None else None,
        symptom=symptom,
    )


def _cause(
    pod: PodFacts, trainer: ContainerFacts | None, *, report: CrewReport | None, launched: bool
) -> tuple[Cause, str]:
    """Cause and words for one failed pod. Kubernetes' own reasons win: they explain the exit code, not the reverse."""
    who = f"worker {pod.worker}"
    if pod.disruption in DISRUPTIONS:
        return DISRUPTIONS[pod.disruption], f"{who} was taken from node {pod.node}: {pod.message or pod.disruption}"
    if pod.reason in POD_REASONS:
        return POD_REASONS[pod.reason], f"{who} on node {pod.node}: {pod.message or pod.reason}"
    if pod.reason.startswith(REJECTIONS):
        return Cause.ADMISSION_REJECTED, f"node {pod.node} refused {who}: {pod.message or pod.reason}"
    if trainer is None or trainer.exit_code is None:
        if pod.deleting_since is not None:
            return Cause.POD_DELETED, f"the pod of {who} was deleted by somebody else"
        return Cause.CREATE_ERROR, f"{who} failed before its container ran: {pod.message or pod.reason or 'no reason'}"
    if trainer.terminated_reason == "OOMKilled" or (report is not None and report.cause == Cause.OOM_KILLED):
        return Cause.OOM_KILLED, f"{who} was killed for memory; raise spec.resources.limits.memory or use less"
    # A user's own program may end with this code, too; then its launcher says so.
    if trainer.exit_code == EXIT_CREW_LOST and (report is None or report.cause != Cause.USER_ERROR):
        return Cause.CREW_LOST, report.message if report is not None else f"{who} lost its crew"
    if pod.deleting_since is not None:
        return Cause.POD_DELETED, f"the pod of {who} was deleted by somebody else"
    if trainer.terminated_reason == "ContainerStatusUnknown":
        return Cause.NODE_LOST, f"node {pod.node} lost sight of {who}: {trainer.termination_message or pod.message}"
    if trainer.terminated_reason in {"StartError", "ContainerCannotRun"}:
        cause = Cause.CONFIG_ERROR if is_about_command(trainer.termination_message) else Cause.USER_ERROR
        return cause, f"{who}: {cannot_start(trainer.termination_message)}"
    if report is not None and report.cause in HOPELESS and trainer.exit_code != 0:
        fix = "" if report.cause == Cause.CONFIG_ERROR else f"; {CORRECT_COMMAND}"
        return Cause.CONFIG_ERROR, (report.message or f"{who} cannot train as the job asks") + fix
    if report is not None and report.message:
        return Cause.USER_ERROR, report.message
    if report is not None and report.outcome == TOLD_TO_STOP:
        return Cause.USER_ERROR, f"{who} was told to stop by a signal, though nobody deleted its pod"
    if launched and report is None and trainer.exit_code == EXIT_KILLED:
        # Nothing in a container can kill its first process, and a launcher that ends by itself leaves a report.
        return Cause.CREW_LOST, f"{who} was killed from outside of its container, on node {pod.node}"
    words = trainer.termination_message.strip().splitlines()
    detail = f": {words[-1][:512]}" if words else ""
    return Cause.USER_ERROR, f"{who} ended with exit code {trainer.exit_code}{detail}"
