"""What a user writes: the spec of a TrainingJob, with its defaults, bounds and the text of `kubectl explain`.

Field descriptions become the CRD's documentation, so they speak to the user. Parts that belong to core/v1 (volumes,
tolerations, the pod overlay) stay plain dictionaries: Kubernetes knows them better, and newer, than this file.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, WithJsonSchema

from regatta.api import core
from regatta.api.base import SpecModel, map_by
from regatta.api.preprocessing import Preprocessing
from regatta.api.status import FAILURE_CAUSES, Cause

__all__ = [
    "MAX_PROCESSES",
    "MAX_WORKERS",
    "Action",
    "Checkpoint",
    "Cleanup",
    "ConfigMapSource",
    "Deadlines",
    "Framework",
    "Gang",
    "KerasBackend",
    "Restart",
    "RestartRule",
    "Runtime",
    "Scheduling",
    "Source",
    "TrainingJobSpec",
]

MAX_WORKERS = 10_000
MAX_PROCESSES = 128
"""Of one worker: more than any machine has accelerators."""
MAX_SECONDS = 10 * 365 * 24 * 3600
"""Ten years: beyond it a number of seconds is a mistake."""

Seconds = Annotated[int, Field(ge=1, le=MAX_SECONDS)]


def _of_an_attempt(cause: Cause) -> Cause:
    if cause not in FAILURE_CAUSES:
        raise ValueError(f"no attempt fails by {cause}; write one of {', '.join(FAILURE_CAUSES)}")
    return cause


FailureCause = Annotated[
    Cause, AfterValidator(_of_an_attempt), WithJsonSchema({"type": "string", "enum": [str(c) for c in FAILURE_CAUSES]})
]


def _left_open(schema: dict[str, Any]) -> None:
    """For fields whose default an installation decides: the API server must not fill in what nobody wrote."""
    schema.pop("default", None)


class Framework(enum.StrEnum):
    """What the training program is written with."""

    PYTORCH = "PyTorch"
    TENSORFLOW = "TensorFlow"
    KERAS = "Keras"
    HOROVOD = "Horovod"
    CUSTOM = "Custom"


class KerasBackend(enum.StrEnum):
    """What Keras computes with."""

    TORCH = "torch"
    TENSORFLOW = "tensorflow"


class Runtime(enum.StrEnum):
    """Whether launcher and instruments are put into the training container."""

    AUTO = "Auto"
    OFF = "Off"


class Cleanup(enum.StrEnum):
    """What is deleted when the job has ended."""

    RUNNING = "Running"
    ALL = "All"
    NONE = "None"


class Gang(enum.StrEnum):
    """How all workers are made to start together or not at all."""

    AUTO = "Auto"
    NATIVE = "Native"
    NONE = "None"


class Action(enum.StrEnum):
    """What a restart rule decides."""

    RESTART = "Restart"
    FAIL = "Fail"


class ConfigMapSource(SpecModel):
    """A ConfigMap of the job's namespace that holds the code."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the ConfigMap.")]


class Source(SpecModel):
    """Code that is mounted at /workspace, which becomes the working directory. Exactly one of the two is given."""

    config_map: ConfigMapSource | None = Field(
        default=None, description="A ConfigMap in the job's namespace; each of its keys becomes a file."
    )
    inline: Annotated[dict[str, Annotated[str, Field(max_length=262_144)]], Field(max_length=64)] | None = Field(
        default=None, description="File names and their contents, for scripts of up to a few hundred kilobytes."
    )


class Checkpoint(SpecModel):
    """Where the program keeps its checkpoints, so that a restart goes on instead of beginning again."""

    volume: core.VolumeSource = Field(
        description="A core/v1 volume source without a name, such as {persistentVolumeClaim: {claimName: checkpoints}}."
    )
    path: Annotated[str, Field(min_length=2, max_length=1024)] = Field(
        default="/checkpoints",
        description="Absolute path at which every worker sees the volume; REGATTA_CHECKPOINT_DIR tells the program.",
    )


class Scheduling(SpecModel):
    """Where the workers run, and whether they start together."""

    gang: Gang = Field(
        default=Gang.AUTO,
        description="Gang scheduling: Auto uses what the cluster offers, Native is Kubernetes' own, None is without. "
        "The installation's default when left out, which is Auto where it says nothing.",
        json_schema_extra=_left_open,
    )
    scheduler_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Scheduler of the worker pods; the cluster's default when left out."
    )
    priority_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="PriorityClass of the worker pods."
    )
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)] = Field(
        default={}, description="Labels that a node must carry to run a worker, beside those of the installation."
    )
    tolerations: Annotated[list[core.Toleration], Field(max_length=64)] = Field(
        default=[], description="Taints that the workers tolerate, as in core/v1."
    )
    affinity: core.Affinity = Field(default={}, description="Node and pod affinity of the workers, as in core/v1.")


class RestartRule(SpecModel):
    """What to do when an attempt fails in a certain way; a rule matches when everything it names does."""

    exit_codes: Annotated[list[Annotated[int, Field(ge=1, le=255)]], Field(max_length=255)] = Field(
        default=[], description="Exit codes of the program, 1 to 255."
    )
    causes: Annotated[list[FailureCause], Field(max_length=32)] = Field(
        default=[], description="Causes of failure as status.failures names them, such as OOMKilled."
    )
    action: Action = Field(description="Restart makes a new attempt, Fail ends the job.")


class Restart(SpecModel):
    """How failures of the program are met. Failures of the cluster (a lost node, a preemption) always restart."""

    max_restarts: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="How often the program's own failures may restart it, in place or as a new attempt."
    )
    rules: Annotated[list[RestartRule], Field(max_length=32)] = Field(
        default=[], description="Exceptions to the default table of causes; the first rule that matches decides."
    )


class Deadlines(SpecModel):
    """Seconds after which the job fails instead of waiting on; what is left out is the installation's to say."""

    queued: Seconds | None = Field(default=None, description="Longest time in phase Queued.")
    starting: Seconds | None = Field(
        default=1800,
        description="Longest time in phase Starting: from the first pod's creation until all training processes "
        "have joined. The installation's default when left out, which is 1800 where it says nothing; null for none.",
        json_schema_extra=_left_open,
    )
    active: Seconds | None = Field(default=None, description="Longest time in phase Running, over all attempts.")
    stalled: Seconds | None = Field(
        default=None, description="Longest time without a finished training step while Running."
    )


class TrainingJobSpec(SpecModel):
    """What to train, with what, on how many workers."""

    framework: Framework = Field(
        description="What the program is written with: PyTorch, TensorFlow, Keras, Horovod, or Custom for any other."
    )
    keras_backend: KerasBackend | None = Field(
        default=None, description="Framework Keras only, and required there: torch or tensorflow."
    )
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="Image of the training container; the installation's image of the framework if none."
    )
    runtime: Runtime = Field(
        default=Runtime.AUTO,
        description='Auto puts launcher and instruments into the training container. "Off" (in quotes, because YAML '
        "reads a bare Off as false) leaves the container as it is and gives it only the documented environment, for "
        "images without Python.",
    )
    command: Annotated[list[Annotated[str, Field(max_length=131_072)]], Field(max_length=1024)] = Field(
        default=[],
        description="Command of one training process, such as [python, train.py]; as many as needed are started. "
        "Required unless runtime is Off.",
    )
    args: Annotated[list[Annotated[str, Field(max_length=131_072)]], Field(max_length=1024)] = Field(
        default=[], description="Arguments that follow the command."
    )
    compile: bool = Field(
        default=False, description="Whether the framework's compiler is used where that needs no change of the code."
    )
    source: Source | None = Field(
        default=None, description="Code mounted at /workspace, which becomes the working directory."
    )
    env: Annotated[list[core.EnvVar], Field(max_length=512)] = Field(
        default=[],
        description="Environment of the training container, as in core/v1.",
        json_schema_extra=map_by("name"),
    )
    env_from: Annotated[list[core.EnvFromSource], Field(max_length=64)] = Field(
        default=[], description="ConfigMaps and Secrets whose keys become environment variables, as in core/v1."
    )
    volumes: Annotated[list[core.Volume], Field(max_length=128)] = Field(
        default=[],
        description="Volumes of every worker pod, as in core/v1.",
        json_schema_extra=map_by("name"),
    )
    volume_mounts: Annotated[list[core.VolumeMount], Field(max_length=128)] = Field(
        default=[],
        description="Where the training container sees the volumes, as in core/v1.",
        json_schema_extra=map_by("mountPath"),
    )
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] = Field(
        default=1, description="Number of worker pods that train together."
    )
    gpus_per_worker: Annotated[int, Field(ge=0, le=MAX_PROCESSES)] = Field(
        default=0, description="GPUs of one worker; 0 trains on the CPU."
    )
    gpu_resource: Annotated[str, Field(min_length=1, max_length=317)] = Field(
        default="nvidia.com/gpu",
        description="Name under which the cluster offers its GPUs. The installation's default when left out, which is "
        "nvidia.com/gpu where it says nothing.",
        json_schema_extra=_left_open,
    )
    processes_per_worker: Annotated[int, Field(ge=1, le=MAX_PROCESSES)] | None = Field(
        default=None,
        description="Training processes in one worker. Default for PyTorch, Horovod and Keras on torch: one for each "
        "GPU, at least one; for the others one.",
    )
    resources: core.Resources = Field(
        default={},
        description="Resource requests and limits of one worker's training container, GPUs excluded, as in core/v1.",
    )
    pod_template: core.PodTemplate = Field(
        default={},
        description="Overlay on every worker pod, for what no other field covers; merged as `kubectl patch` merges.",
    )
    preprocessing: Preprocessing | None = Field(
        default=None, description="Sidecars that prepare the data and hand finished batches to the program."
    )
    checkpoint: Checkpoint | None = Field(
        default=None, description="Where checkpoints are kept; without it a restart begins again."
    )
    scheduling: Scheduling = Field(default=Scheduling(), description="Where the workers run.")
    restart: Restart = Field(default=Restart(), description="How failures of the program are met.")
    deadlines: Deadlines = Field(
        default=Deadlines(), description="Seconds after which the job fails instead of waiting on."
    )
    suspend: bool = Field(
        default=False, description="true deletes the pods and frees everything they hold until it is false again."
    )
    cleanup: Cleanup = Field(
        default=Cleanup.RUNNING,
        description="After the end: Running deletes what still runs and keeps finished pods for their logs, All "
        "deletes every pod, None deletes nothing. The installation's default when left out, which is Running where it "
        "says nothing.",
        json_schema_extra=_left_open,
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MAX_SECONDS)] | None = Field(
        default=None,
        description="Seconds after its end at which the job is deleted. The installation's default when left out, "
        "which is never where it says nothing; null for never.",
    )

    @property
    def processes(self) -> int:
        """Training processes of one worker, the framework's default applied."""
        if self.processes_per_worker is not None:
            return self.processes_per_worker
        one_for_each_gpu = self.framework in (Framework.PYTORCH, Framework.HOROVOD)
        if one_for_each_gpu or self.keras_backend is KerasBackend.TORCH:
            return max(1, self.gpus_per_worker)
        return 1

    @property
    def on_tensorflow(self) -> bool:
        """Whether TensorFlow does the computing: its own jobs, and Keras on it."""
        return self.framework is Framework.TENSORFLOW or self.keras_backend is KerasBackend.TENSORFLOW

    @property
    def world_size(self) -> int:
        """Training processes of the whole job."""
        return self.workers * self.processes

    @classmethod
    def from_api(cls, raw: Any) -> Self:
        """The spec as it stands in an object's JSON; raises pydantic.ValidationError where it does not fit."""
        return cls.model_validate(raw, by_alias=True, by_name=False)
