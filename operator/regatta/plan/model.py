"""What the planner sees and what it answers: plain, frozen values without behaviour of their own.

`Job` and `Observed` go in, `Plan` comes out, `Outcome` reports what became of the plan's writes.
Nothing here knows how an object is fetched or written.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from regatta.api.defaults import JobDefaults
from regatta.api.spec import Framework, TrainingJobSpec
from regatta.api.status import TrainingJobStatus
from regatta.api.validate import Problem
from regatta.plan.report import CrewWords

__all__ = [
    "ContainerFacts",
    "Create",
    "CreateFailure",
    "Delete",
    "Event",
    "FailureKind",
    "Fence",
    "GroupFacts",
    "Installation",
    "Job",
    "LastEnd",
    "Observed",
    "Outcome",
    "Plan",
    "PodFacts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A TrainingJob as the API server last told it, parsed once per generation."""

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: datetime
    spec: TrainingJobSpec | None
    """None when the spec cannot be read at all; `problems` then says why."""
    status: TrainingJobStatus
    problems: tuple[Problem, ...] = ()
    """What validation found; not empty means the job is refused with reason InvalidSpec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEnd:
    """How a container that the kubelet restarts ended the last time."""

    exit_code: int
    reason: str = ""
    message: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """State of one container (init containers and sidecars included), reduced to what decisions need."""

    name: str
    init: bool = False
    ready: bool = False
    started: bool = False
    began_at: datetime | None = None
    """When it started, whether or not it still runs."""
    running_since: datetime | None = None
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    """None while the container has not terminated."""
    terminated_reason: str = ""
    finished_at: datetime | None = None
    termination_message: str = ""
    restart_count: int = 0
    last: LastEnd | None = None
    """How it ended before it was started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """One pod of ours, a few hundred bytes instead of the 44 KB of its parsed JSON."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    job: str
    """Value of the label regatta.dev/job."""
    owner_uid: str
    """uid of the controlling TrainingJob; empty when the pod has none."""
    attempt: int
    """-1 when the label is missing or not a number."""
    worker: int
    """-1 when the label is missing or not a number."""
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown, as the kubelet reports it."""
    reason: str = ""
    message: str = ""
    node: str = ""
    ip: str = ""
    created_at: datetime | None = None
    deleting_since: datetime | None = None
    """When its deletion was ordered; set while the pod terminates on somebody's order."""
    scheduled: bool = False
    scheduled_at: datetime | None = None
    unschedulable: str = ""
    """The scheduler's own words while PodScheduled is False, else empty."""
    ready: bool = False
    ready_at: datetime | None = None
    disruption: str = ""
    """Reason of a true DisruptionTarget condition (PreemptionByScheduler, DeletionByTaintManager, ...), else empty."""
    containers: tuple[ContainerFacts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """What the scheduler says of an attempt's PodGroup."""

    name: str
    reason: str = ""
    """Why the group is not scheduled, in one word; empty while nothing is said, or when it is."""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """What an installation lets through to the pods of every job, and out of them."""

    operator_namespace: str
    """Where the operator's own pods are, which read how far a job is."""
    metrics_from: tuple[str, ...] = ()
    """Namespaces whose pods may read the metrics of jobs."""
    egress: bool = True
    """Whether a job's pods may reach whatever they want: data, registries, storage; else each other and DNS alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What this installation of the operator gives to every job: images, injection and cluster abilities."""

    runtime_image: str
    """The FROM scratch image that holds only the runtime's Python files."""
    operator_image: str
    """Used by the init container that copies the runtime where image volumes are not available."""
    feed_image: str = ""
    """The sidecar that prepares data."""
    framework_images: Mapping[str, str] = field(default_factory=dict)
    """Default training image by framework name; Keras on TensorFlow has that of TensorFlow, which holds Keras."""
    image_pull_policy: str = "IfNotPresent"
    image_volumes: bool = True
    """Whether the cluster mounts images as volumes; else the runtime is copied by an init container."""
    native_gang: bool = False
    """Whether the cluster serves the PodGroups of Kubernetes' own gang scheduling."""
    defaults: JobDefaults = field(default_factory=JobDefaults)
    """What holds for jobs that do not say otherwise."""
    fence: Fence | None = None
    """Whom the pods of a job may talk with; None leaves them to the cluster's own policies."""

    def image_of(self, spec: TrainingJobSpec) -> str | None:
        """The image that a job trains in, None where neither the job nor the installation has one."""
        name = Framework.TENSORFLOW if spec.on_tensorflow else spec.framework
        return spec.image or self.framework_images.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything about the world that a decision may use."""

    installation: Installation
    pods: tuple[PodFacts, ...] = ()
    """All pods labelled with the job's name in its namespace, whoever owns them, of all attempts."""
    crew: CrewWords | None = None
    """What worker 0's launcher told last while it ran, None when it was never heard."""
    group: GroupFacts | None = None
    """The attempt's PodGroup, where a plan asked to inspect it."""
    warnings: Mapping[str, str] = field(default_factory=dict)
    """Message of the latest Warning event by pod name, for the pods a plan asked to inspect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """An object to create under a deterministic name; an object of ours that already has the name is success."""

    kind: str
    """Pod, PodGroup, Service, ConfigMap or NetworkPolicy."""
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """An object to delete; the uid is a precondition, so a later object of the same name is never hit."""

    kind: str
    """Pod, PodGroup or TrainingJob."""
    name: str
    uid: str = ""
    """Empty for an object that is not watched: then it is read first, and deleted only if `owner` controls it."""
    owner: str = ""
    """uid of the controlling TrainingJob, needed where the object's own is not known."""
    grace_seconds: int | None = None
    """None leaves the object's own grace period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A Kubernetes event about the job, emitted after the status was written."""

    type: str
    """Normal or Warning."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What should happen next. Creates run in order of kind (ConfigMap, Service, Pod), pods in parallel."""

    status: TrainingJobStatus
    """The whole status wanted after the writes succeeded; `settle` amends it when they did not.

    What must survive a crash (a new attempt's number, a failure's record, the end) is planned alone, with no
    creates or deletes beside it and `requeue_after=0`: it is stored first, and acted upon by the next plan.
    """
    creates: tuple[Create, ...] = ()
    deletes: tuple[Delete, ...] = ()
    events: tuple[Event, ...] = ()
    inspect: tuple[str, ...] = ()
    """Pods whose Warning events should be read before the next plan: they hang and do not say why."""
    inspect_group: str = ""
    """Name of the PodGroup that should be read before the next plan: its pods wait for nodes."""
    requeue_after: float | None = None
    """Seconds until the plan must be made again even if nothing is observed to change."""


class FailureKind(enum.StrEnum):
    """Why the API server did not take an object, as far as decisions differ."""

    QUOTA_EXCEEDED = "QuotaExceeded"
    """403, a ResourceQuota or LimitRange forbids it."""
    FORBIDDEN = "Forbidden"
    """403, admission or RBAC forbids it."""
    INVALID = "Invalid"
    """400 or 422: the object itself is wrong; trying again cannot help."""
    NAME_TAKEN = "NameTaken"
    """409: somebody else's object has the name."""
    TERMINATING = "Terminating"
    """409: an object of that name is still terminating."""
    NAMESPACE_GONE = "NamespaceGone"
    """404 on create, or 403 because the namespace terminates."""
    UNAVAILABLE = "Unavailable"
    """429, 5xx, connection trouble after the client's own retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFailure:
    """One object that could not be created."""

    kind: str
    name: str
    failure: FailureKind
    message: str
    """The API server's own words."""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a plan's writes."""

    created: tuple[PodFacts, ...] = ()
    """Pods that now exist: answers of POST, and objects of ours that were there already."""
    failures: tuple[CreateFailure, ...] = ()
