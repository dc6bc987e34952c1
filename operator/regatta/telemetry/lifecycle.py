"""What happens to jobs, counted as it happens: by the difference of two statuses, once the second one is written.

All labels come from closed sets, but for the names of namespaces and of resources that nodes really have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from regatta.api.status import Cause, Failure, FailureAction, Phase, TrainingJobStatus
from regatta.plan.crew import Crew
from regatta.plan.ledger import startup
from regatta.plan.model import Job

__all__ = ["CAUSES", "OTHER", "Lifecycle"]

LONG: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0, 7 * 24 * 3600.0)
SHORT: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0)

CAUSES: Final[Mapping[str, str]] = {
    Cause.OOM_KILLED: "oom_killed",
    Cause.NODE_LOST: "node_lost",
    Cause.NODE_SHUTDOWN: "node_lost",
    Cause.PREEMPTED: "preempted",
    Cause.EVICTED: "evicted",
    Cause.STALLED: "hung",
    Cause.IMAGE_ERROR: "image_error",
    Cause.USER_ERROR: "user_error",
}
"""The label `cause`, by the status' own word; every other cause is `other`."""
OTHER: Final = "other"
ENDS: Final = frozenset({*Cause, "Completed", "QueuedDeadline", "StartingDeadline", "ActiveDeadline"})
STAGES: Final = ("image_pull", "init", "rendezvous")
FIRST_STEP: Final = ("init", "rendezvous", "compile", "checkpoint_restore")
STEPS: Final = ("step", "rework")
OWN: Final = ("gang_wait", "image_pull", "init", "terminating")
"""States that hold accelerators and of which no runtime tells."""


class Lifecycle:
    """Counters and histograms of jobs by namespace."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        self._created = counter("regatta_trainingjobs_created", "Jobs taken up.", "namespace", "framework")
        self._finished = counter(
            "regatta_trainingjobs_finished", "Jobs that ended.", "namespace", "framework", "outcome", "reason"
        )
        self._restarts = counter(
            "regatta_trainingjob_restarts",
            "Restarts, in place and by new attempts.",
            "namespace",
            "framework",
            "cause",
        )
        self._queue_wait = histogram(
            "regatta_trainingjob_queue_wait_seconds",
            "From a job's creation to its first pod on a node, less the time in which it held nodes.",
            "namespace",
            "queue",
            buckets=LONG,
        )
        self._gang_wait = histogram(
            "regatta_trainingjob_gang_wait_seconds",
            "From an attempt's first pod on a node to its last.",
            "namespace",
            buckets=SHORT,
        )
        self._startup = histogram(
            "regatta_trainingjob_startup_seconds",
            "Stages of an attempt's start.",
            "namespace",
            "stage",
            buckets=SHORT,
        )
        self._recovery = histogram(
            "regatta_trainingjob_recovery_seconds",
            "From a failure until all processes run again.",
            "namespace",
            "cause",
            buckets=SHORT,
        )
        self._duration = histogram(
            "regatta_trainingjob_duration_seconds",
            "From a job's creation to its end.",
            "namespace",
            "outcome",
            buckets=LONG,
        )
        self._accelerators = counter(
            "regatta_accelerator_seconds",
            "Time that accelerators were held while no runtime told of it.",
            "namespace",
            "resource",
            "state",
        )

    def changed(self, job: Job, after: TrainingJobStatus, crew: Crew | None) -> None:
        """The job's status was written; `job` is as it was before, `crew` the pods of its attempt."""
        before = job.status
        framework = job.spec.framework.value if job.spec is not None else "unknown"
        if before.phase is None:
            self._created.labels(job.namespace, framework).inc()
        if after.phase is not before.phase and after.phase is not None:
            self._came_into(job, after, framework=framework, crew=crew)
        for failure in _news(before, after):
            self._restarts.labels(job.namespace, framework, CAUSES.get(failure.cause, OTHER)).inc()
        for failure in _overcome(before, after):
            cause = CAUSES.get(failure.cause, OTHER)
            self._recovery.labels(job.namespace, cause).observe(failure.lost_seconds or 0.0)
        if _has_stepped(after) and not _has_stepped(before):
            spent = sum(after.attempt_ledger.get(state, 0.0) for state in FIRST_STEP)
            self._startup.labels(job.namespace, "first_step").observe(spent)
        self._held(job, after)

    def _came_into(self, job: Job, after: TrainingJobStatus, *, framework: str, crew: Crew | None) -> None:
        before, namespace = job.status, job.namespace
        assert after.phase is not None
        queued, starts = before.phase in {None, Phase.QUEUED}, after.phase in {Phase.STARTING, Phase.RUNNING}
        if queued and starts and after.attempt <= 1:
            self._queue_wait.labels(namespace, "").observe(after.ledger.get("queued", 0.0))
        if after.phase is Phase.RUNNING and crew is not None:
            stages = startup(crew)
            self._startup.labels(namespace, "scheduling").observe(
                stages.get("queued", 0.0) + stages.get("gang_wait", 0.0)
            )
            for stage in STAGES:
                if stage in stages:
                    self._startup.labels(namespace, stage).observe(stages[stage])
            if crew.desired > 1:
                self._gang_wait.labels(namespace).observe(stages.get("gang_wait", 0.0))
        if after.phase.terminal:
            outcome = after.phase.value.lower()
            reason = after.reason if after.reason in ENDS else OTHER
            self._finished.labels(namespace, framework, outcome, reason).inc()
            if after.completion_time is not None:
                lived = (after.completion_time - job.created_at).total_seconds()
                self._duration.labels(namespace, outcome).observe(max(0.0, lived))

    def _held(self, job: Job, after: TrainingJobStatus) -> None:
        """Count what the ledger has grown by in states of which the operator alone knows."""
        spec, before = job.spec, job.status
        if spec is None or not spec.gpus_per_worker:
            return
        for state in OWN:
            grown = after.ledger.get(state, 0.0) - before.ledger.get(state, 0.0)
            if state == "init":
                # The program's part of it is told by the runtime, and cannot be taken apart where books were closed.
                told = after.attempt_ledger.get(state, 0.0) - before.attempt_ledger.get(state, 0.0)
                grown = grown - told if after.attempt == before.attempt else 0.0
            if grown > 0.001:
                held = grown * spec.workers * spec.gpus_per_worker
                self._accelerators.labels(job.namespace, spec.gpu_resource, state).inc(held)


def _news(before: TrainingJobStatus, after: TrainingJobStatus) -> list[Failure]:
    """The failures that led to a restart and were not in the books before."""
    fresh = sum(after.failure_counts.values()) - sum(before.failure_counts.values())
    latest = after.failures[-fresh:] if fresh > 0 else ()
    return [failure for failure in latest if failure.action is not FailureAction.JOB_FAILED]


def _overcome(before: TrainingJobStatus, after: TrainingJobStatus) -> list[Failure]:
    """The failures whose cost has become known."""
    if before.failures == after.failures:
        return []
    known = {(f.attempt, f.at, f.message) for f in before.failures if f.lost_seconds is not None}
    return [f for f in after.failures if f.lost_seconds is not None and (f.attempt, f.at, f.message) not in known]


def _has_stepped(status: TrainingJobStatus) -> bool:
    return any(state in status.attempt_ledger for state in STEPS)
