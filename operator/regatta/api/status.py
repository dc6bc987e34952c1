"""What the operator writes: the status of a TrainingJob, a frozen value that survives a round trip through the API.

Everything a restarted operator needs to go on (attempt, counters, clocks) is here and nowhere else.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, ValidationError

from regatta.api.base import StatusModel, Time

__all__ = [
    "FAILURE_CAUSES",
    "MAX_FAILURES",
    "MAX_MESSAGE",
    "Cause",
    "Condition",
    "ConditionType",
    "Failure",
    "FailureAction",
    "Phase",
    "Progress",
    "TrainingJobStatus",
    "Workers",
]

MAX_FAILURES = 10
"""How many failures the status tells one by one; failureCounts are complete."""
MAX_MESSAGE = 2048
"""Longest message kept: an API server's refusal can be a whole object."""


def _clip(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _newest(failures: tuple[Failure, ...]) -> tuple[Failure, ...]:
    return failures[-MAX_FAILURES:]


def _known(progress: Progress | None) -> Progress | None:
    return None if progress == Progress() else progress


Message = Annotated[str, AfterValidator(_clip)]


class Phase(enum.StrEnum):
    """Where a job is in its life; the last two never change again."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class Cause(enum.StrEnum):
    """Why an attempt failed or does not get on."""

    USER_ERROR = "UserError"
    CREW_LOST = "CrewLost"
    OOM_KILLED = "OOMKilled"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    NODE_SHUTDOWN = "NodeShutdown"
    ADMISSION_REJECTED = "AdmissionRejected"
    POD_DELETED = "PodDeleted"
    IMAGE_ERROR = "ImageError"
    CONFIG_ERROR = "ConfigError"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    CREATE_ERROR = "CreateError"
    INVALID_SPEC = "InvalidSpec"
    INVALID_IMAGE_NAME = "InvalidImageName"
    STALLED = "Stalled"


FAILURE_CAUSES: Final = (
    Cause.USER_ERROR,
    Cause.CREW_LOST,
    Cause.OOM_KILLED,
    Cause.EVICTED,
    Cause.PREEMPTED,
    Cause.NODE_LOST,
    Cause.NODE_SHUTDOWN,
    Cause.ADMISSION_REJECTED,
    Cause.POD_DELETED,
    Cause.CONFIG_ERROR,
    Cause.STALLED,
)
"""Causes by which an attempt fails; the others hinder a job from starting, or end it at once. ConfigError does both."""


class FailureAction(enum.StrEnum):
    """What was done about a failure."""

    RESTARTED_IN_PLACE = "RestartedInPlace"
    NEW_ATTEMPT = "NewAttempt"
    JOB_FAILED = "JobFailed"


class ConditionType(enum.StrEnum):
    """Facts that `kubectl wait --for=condition=...` can wait for."""

    ACCEPTED = "Accepted"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    GANG_SCHEDULED = "GangScheduled"


class Condition(StatusModel):
    """One fact about the job, in the form of metav1.Condition."""

    type: str = Field(description="Accepted, Scheduled, GangScheduled, Running, Succeeded, Failed or Suspended.")
    status: str = Field(description="True, False or Unknown.")
    reason: str = Field(description="One word that says why.")
    message: Message = Field(default="", description="A sentence that says why.")
    last_transition_time: Time = Field(description="When the status changed last.")
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the condition is about."
    )


class Workers(StatusModel):
    """How many workers there are, by how far they have come."""

    desired: int = Field(default=0, description="Workers that the spec asks for.")
    created: int = Field(default=0, description="Pods of the current attempt that exist.")
    ready: int = Field(default=0, description="Workers whose training processes have all joined.")
    succeeded: int = Field(default=0, description="Workers whose program ended with 0.")
    failed: int = Field(default=0, description="Workers whose program or pod failed.")

    @property
    def summary(self) -> str:
        """Ready and desired workers as `kubectl get` shows them."""
        return f"{self.ready}/{self.desired}"


class Failure(StatusModel):
    """One failed attempt, or one failure that was met in place."""

    attempt: int = Field(description="The attempt that failed.")
    cause: Cause = Field(description="Why it failed.")
    pod: str = Field(default="", description="Pod that failed first.")
    node: str = Field(default="", description="Node it ran on.")
    exit_code: int | None = Field(default=None, description="Exit code of the program, where it had one.")
    message: Message = Field(default="", description="What happened, in a sentence.")
    at: Time = Field(description="When it failed.")
    action: FailureAction | None = Field(
        default=None,
        description="What was done: RestartedInPlace (the pods stayed), NewAttempt (new pods) or JobFailed.",
    )
    lost_seconds: float | None = Field(
        default=None, description="Seconds from the failure until training went on, where it did."
    )


class Progress(StatusModel):
    """How far the training has come, as the program's own steps tell."""

    step: int | None = Field(default=None, description="Optimizer steps finished.")
    total_steps: int | None = Field(default=None, description="Optimizer steps in all.")
    epoch: float | None = Field(default=None, description="Passes over the data.")
    fraction: float | None = Field(default=None, description="Part that is done, from 0 to 1.")
    eta_seconds: float | None = Field(default=None, description="Seconds until the end at the present speed.")
    updated_at: Time | None = Field(default=None, description="When this was measured.")

    @property
    def summary(self) -> str:
        """Progress in a word, as `kubectl get` shows it; empty when nothing is known."""
        if self.fraction is not None:
            # Rounded down: 100% is what only a finished training has.
            return f"{int(min(max(self.fraction, 0.0), 1.0) * 100)}%"
        return "" if self.step is None else f"step {self.step}"


class TrainingJobStatus(StatusModel):
    """How a TrainingJob is doing, why, and what became of its attempts."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec that this is about.")
    phase: Phase | None = Field(
        default=None, description="Queued, Starting, Running, Restarting, Suspended, Succeeded or Failed."
    )
    phase_since: Time | None = Field(default=None, description="Since when the job is in this phase.")
    reason: str = Field(default="", description="One word that says why the job is in this phase.")
    message: Message = Field(default="", description="What happens or hinders, and what to do about it.")
    attempt: int = Field(default=0, description="Number of the current attempt; 0 before the first.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Facts to wait for, each with its time.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    workers: Workers = Field(default=Workers(), description="How many workers there are, by how far they have come.")
    start_time: Time | None = Field(default=None, description="When the operator first took up the job.")
    running_since: Time | None = Field(default=None, description="Since when all training processes run.")
    active_seconds: int = Field(
        default=0, description="Seconds in phase Running before runningSince, over all attempts."
    )
    completion_time: Time | None = Field(default=None, description="When the job ended.")
    next_try_time: Time | None = Field(
        default=None, description="When the operator tries again: the end of a pause before a restart or a creation."
    )
    restarts_used: int = Field(
        default=0, description="How much of restart.maxRestarts is spent, in-place restarts and attempts together."
    )
    restarts_in_place: int = Field(
        default=0, description="How often the crew was restarted inside its living pods, over all attempts."
    )
    attempt_restarts: int = Field(
        default=0, description="How many of restartsInPlace belong to the current attempt and are accounted for."
    )
    failures: Annotated[tuple[Failure, ...], AfterValidator(_newest)] = Field(
        default=(), description="The last ten failures, newest last."
    )
    failure_counts: dict[str, int] = Field(default={}, description="Number of failures by cause, complete.")
    progress: Annotated[Progress | None, AfterValidator(_known)] = Field(
        default=None, description="How far the training has come."
    )
    efficiency: dict[str, float] = Field(
        default={},
        description="What the hardware was used for: goodput, samplesPerSecond, stepSeconds, dataStallFraction, "
        "gpuUtilization, memoryUsedFraction, mfu, joulesPerSample. A value that was not measured is absent.",
    )
    ledger: dict[str, float] = Field(
        default={},
        description="Seconds spent in each state of the job's life since its creation. The states exclude one another "
        "and add up: to all of its life when it has ended, until then to as much of it as is known.",
    )
    attempt_ledger: dict[str, float] = Field(
        default={}, description="What the current attempt's program has told of its time and the ledger has taken in."
    )
    steps_done: int = Field(
        default=0, description="The highest step that an attempt before the current one is known to have finished."
    )

    def to_api(self) -> dict[str, Any]:
        """The status as JSON for the API server: camelCase, absent where nothing is known, {} when never written."""
        if self == TrainingJobStatus():
            return {}
        body = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        # `kubectl get` columns take one value each, so what they show is written out. Never read back.
        body["workers"]["summary"] = self.workers.summary
        if self.progress is not None and self.progress.summary:
            body["progress"]["summary"] = self.progress.summary
        return {key: value for key, value in body.items() if value not in ("", [], {})}

    @classmethod
    def from_api(cls, raw: dict[str, Any] | None) -> Self:
        """Read a status back. Unknown keys, and values that another version of the operator wrote, are left out."""
        raw = raw or {}
        try:
            return cls.model_validate(raw, by_alias=True, by_name=False)
        except ValidationError as error:
            fitting = _without(raw, [problem["loc"] for problem in error.errors()])
            return cls.model_validate(fitting, by_alias=True, by_name=False)


def _without(raw: dict[str, Any], bad: list[tuple[int | str, ...]]) -> dict[str, Any]:
    """A copy of the status less what does not fit: the item of a list where one is at fault, else the whole field."""
    items = {(location[0], location[1]) for location in bad if len(location) > 1 and isinstance(location[1], int)}
    fields = {location[0] for location in bad if len(location) < 2 or not isinstance(location[1], int)}
    return {
        key: [item for index, item in enumerate(value) if (key, index) not in items]
        if isinstance(value, list)
        else value
        for key, value in raw.items()
        if key not in fields
    }
