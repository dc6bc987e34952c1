"""The worker pod: one template for a job's attempt, and one cheap variation of it for each worker.

A user's podTemplate is merged into the template once; what tells workers apart is added afterwards, so a job of a
thousand workers costs one merge, and no overlay can change a worker's identity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from regatta.api import names
from regatta.api.quantity import parse_quantity
from regatta.api.spec import Runtime, TrainingJobSpec
from regatta.plan.frameworks import framework_for
from regatta.plan.gang import gang_for
from regatta.plan.metadata import child_metadata
from regatta.plan.model import Create, Installation, Job
from regatta.plan.pods.feed import feed_parts
from regatta.plan.pods.overlay import merge
from regatta.plan.restart import fatal_exit_codes, is_fatal_oom

__all__ = ["COORDINATOR_PORT", "RUNTIME_PORT", "worker_pods"]

RUNTIME_PORT: Final = 9464
"""Where a launcher serves /started, /healthz, /progress and /metrics."""
COORDINATOR_PORT: Final = 9465
"""Where worker 0's launcher serves the crew."""
RUNTIME_PATH: Final = "/regatta"
WORKSPACE: Final = "/workspace"
GRACE_SECONDS: Final = 120
"""Long enough for a checkpoint; costs nothing when processes end at once."""
LAST_WORDS_SECONDS: Final = 5
"""What the launcher keeps of the grace period to end its processes and leave its last words."""
UNREACHABLE_SECONDS: Final = 2
"""By default pods stay bound to a node that was lost for another five minutes; a crew is better off elsewhere."""
NOT_READY_SECONDS: Final = 30
"""A kubelet that restarts says for some seconds that its node is not ready, while its pods train on."""
ENDLESS: Final = 2**31 - 1
"""A startup probe reports the rendezvous; only the deadline in the spec may give up on it, never the kubelet."""
IMAGE_USER: Final = 1000
"""The user of the default images, for the files of mounted volumes."""
PYTHON: Final = re.compile(r"python(3(\.\d+)?)?")


def worker_pods(
    job: Job, *, attempt: int, workers: Iterable[int], installation: Installation, restarts_left: int
) -> tuple[Create, ...]:
    """Return the pods of the given workers of an attempt.

    The job's spec must have passed validation. The environment of a pod does not grow with the number of workers.
    """
    assert job.spec is not None
    spec = job.spec
    template = _template(job, spec, attempt=attempt, installation=installation, restarts_left=restarts_left)
    leader = f"{names.pod_name(job.name, attempt, 0)}.{names.service_name(job.name)}"
    return tuple(_worker(template, job, spec, attempt=attempt, worker=worker, leader=leader) for worker in workers)


def _worker(
    template: Mapping[str, Any], job: Job, spec: TrainingJobSpec, *, attempt: int, worker: int, leader: str
) -> Create:
    """One worker's pod: copies only the path down to the trainer's environment, shares everything else."""
    name = names.pod_name(job.name, attempt, worker)
    own = child_metadata(job, name, attempt=attempt, worker=worker, component="worker")
    metadata = {
        **template["metadata"],
        **own,
        "labels": {**template["metadata"].get("labels", {}), **own["labels"]},
    }
    identity = {"REGATTA_WORKER": str(worker), "REGATTA_COORDINATOR": f"{leader}:{COORDINATOR_PORT}"}
    if spec.runtime is Runtime.OFF:
        identity |= framework_for(spec.framework).environment(spec, worker=worker, leader=leader)
    containers = [
        {**container, "env": [*_variables(identity), *container.get("env", ())]}
        if container["name"] == names.TRAINER
        else container
        for container in template["spec"]["containers"]
    ]
    pod_spec = {
        **template["spec"],
        "hostname": name,
        "subdomain": names.service_name(job.name),
        "containers": containers,
    }
    return Create(
        kind="Pod",
        name=name,
        body={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec},
    )


def _template(
    job: Job, spec: TrainingJobSpec, *, attempt: int, installation: Installation, restarts_left: int
) -> dict[str, Any]:
    """Everything that all workers of an attempt share, with the user's podTemplate merged over it."""
    variables = _attempt_variables(job, spec, attempt=attempt, restarts_left=restarts_left)
    feed = feed_parts(spec, installation=installation)
    if feed is not None:
        variables |= feed.variables
    mine = {"name": names.TRAINER, **_trainer(spec, installation=installation, variables=variables)}
    volumes: list[Any] = [{"name": "dshm", "emptyDir": {"medium": "Memory"}}]
    mounts: list[Any] = [{"name": "dshm", "mountPath": "/dev/shm"}]  # noqa: S108 - the mount point, not a temp file
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        # The variables of service links grow with the namespace's services until exec fails.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": _pod_security(spec),
        **_scheduling(spec),
        **_of_the_installation(spec, installation),
        **gang_for(spec, installation).pod_spec(job, attempt=attempt),
    }
    if spec.runtime is Runtime.AUTO:
        volume, init = _runtime_volume(installation)
        volumes.append(volume)
        mounts.append({"name": volume["name"], "mountPath": RUNTIME_PATH, "readOnly": True})
        if init is not None:
            pod["initContainers"] = [init]
    if feed is not None:
        volumes += feed.volumes
        mounts += feed.mounts
        pod["initContainers"] = [*pod.get("initContainers", ()), feed.container]
    if spec.source is not None:
        config_map = spec.source.config_map.name if spec.source.config_map else names.source_name(job.name)
        volumes.append({"name": "regatta-source", "configMap": {"name": config_map}})
        mounts.append({"name": "regatta-source", "mountPath": WORKSPACE, "readOnly": True})
        mine["workingDir"] = WORKSPACE
    if spec.checkpoint is not None:
        volumes.append({"name": "regatta-checkpoint", **spec.checkpoint.volume})
        mounts.append({"name": "regatta-checkpoint", "mountPath": spec.checkpoint.path})
    mine["volumeMounts"] = [*mounts, *spec.volume_mounts]
    pod |= {"volumes": [*volumes, *spec.volumes], "containers": [mine]}
    overlay = spec.pod_template
    wanted = overlay.get("metadata") or {}
    return {
        "metadata": {key: wanted[key] for key in ("labels", "annotations") if wanted.get(key)},
        "spec": merge(pod, overlay.get("spec") or {}),
    }


def _trainer(spec: TrainingJobSpec, *, installation: Installation, variables: Mapping[str, str]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "image": installation.image_of(spec),
        "env": [*_variables(variables), *spec.env],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        # A program that dies before the launcher writes its message still leaves its last lines in the status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if not spec.image:
        container["imagePullPolicy"] = installation.image_pull_policy
    if spec.env_from:
        container["envFrom"] = list(spec.env_from)
    resources = _resources(spec)
    if resources:
        container["resources"] = resources
    if spec.runtime is Runtime.OFF:
        return container | _own_command(spec)
    if not _brings(spec, "livenessProbe"):
        # The crew notices a launcher that hangs, and a crew of one has nobody to. Patient: a busy node is no hang.
        container["livenessProbe"] = {
            "httpGet": {"path": "/healthz", "port": RUNTIME_PORT},
            "periodSeconds": 15,
            "timeoutSeconds": 10,
            "failureThreshold": 8,
        }
    return container | {
        "command": [_interpreter(spec.command), RUNTIME_PATH, "--", *spec.command],
        "args": list(spec.args),
        "ports": [{"name": "metrics", "containerPort": RUNTIME_PORT}],
        "startupProbe": {
            "httpGet": {"path": "/started", "port": RUNTIME_PORT},
            "periodSeconds": 1,
            "timeoutSeconds": 3,
            "failureThreshold": ENDLESS,
        },
    }


def _brings(spec: TrainingJobSpec, field: str) -> bool:
    """Whether the podTemplate says this of the training container."""
    containers = (spec.pod_template.get("spec") or {}).get("containers") or ()
    return any(container.get("name") == names.TRAINER and field in container for container in containers)


def _own_command(spec: TrainingJobSpec) -> dict[str, Any]:
    command: dict[str, Any] = {}
    if spec.command:
        command["command"] = list(spec.command)
    if spec.args:
        command["args"] = list(spec.args)
    return command


def _interpreter(command: Sequence[str]) -> str:
    """The Python that runs the launcher: the one the user's own command names, else the image's python3."""
    return command[0] if PYTHON.fullmatch(command[0].rpartition("/")[2]) else "python3"


def _attempt_variables(job: Job, spec: TrainingJobSpec, *, attempt: int, restarts_left: int) -> dict[str, str]:
    variables = {
        "REGATTA_JOB": job.name,
        "REGATTA_NAMESPACE": job.namespace,
        "REGATTA_UID": job.uid,
        "REGATTA_FRAMEWORK": spec.framework.value,
        **({"REGATTA_KERAS_BACKEND": spec.keras_backend.value} if spec.keras_backend is not None else {}),
        "REGATTA_ATTEMPT": str(attempt),
        "REGATTA_WORKERS": str(spec.workers),
        "REGATTA_PROCESSES": str(spec.processes),
        "REGATTA_GPUS": str(spec.gpus_per_worker),
        "REGATTA_TOKEN": names.token(job.uid, attempt),
        "REGATTA_JOIN_TIMEOUT": str(spec.deadlines.starting or ENDLESS),
        "REGATTA_RESTARTS": str(restarts_left),
        "REGATTA_RESTARTS_USED": str(job.status.restarts_used),
        "REGATTA_METRICS_PORT": str(RUNTIME_PORT),
    }
    if job.status.steps_done:
        variables["REGATTA_STEPS_DONE"] = str(job.status.steps_done)
    if spec.compile:
        variables["REGATTA_COMPILE"] = "1"
    if spec.checkpoint is not None:
        variables["REGATTA_CHECKPOINT_DIR"] = spec.checkpoint.path
    rules = spec.restart.rules
    codes = fatal_exit_codes(rules)
    if codes:
        variables["REGATTA_FATAL_EXIT_CODES"] = ",".join(map(str, codes))
    if is_fatal_oom(rules):
        variables["REGATTA_FATAL_OOM"] = "1"
    grace = (spec.pod_template.get("spec") or {}).get("terminationGracePeriodSeconds", GRACE_SECONDS)
    if isinstance(grace, int) and grace > LAST_WORDS_SECONDS:
        variables["REGATTA_GRACE"] = str(grace - LAST_WORDS_SECONDS)
    cpu = _cpu_limit(spec)
    if cpu is not None and all(variable.get("name") != "OMP_NUM_THREADS" for variable in spec.env):
        variables["OMP_NUM_THREADS"] = str(max(1, int(cpu / spec.processes)))
    return variables


def _cpu_limit(spec: TrainingJobSpec) -> float | None:
    limit = ((spec.resources or {}).get("limits") or {}).get("cpu")
    return None if limit is None else float(parse_quantity(limit))


def _resources(spec: TrainingJobSpec) -> dict[str, Any]:
    resources = {key: value for key, value in (spec.resources or {}).items() if value}
    if spec.gpus_per_worker:
        # Extended resources need only the limit: the API server copies it to the request.
        limits = {**resources.get("limits", {}), spec.gpu_resource: str(spec.gpus_per_worker)}
        resources["limits"] = limits
    return resources


def _pod_security(spec: TrainingJobSpec) -> dict[str, Any]:
    context: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if not spec.image:
        # Our images run as a user; a foreign image may know only root, and would never start.
        context |= {"runAsNonRoot": True, "fsGroup": IMAGE_USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return context


def _scheduling(spec: TrainingJobSpec) -> dict[str, Any]:
    wanted = spec.scheduling
    fields = {
        "schedulerName": wanted.scheduler_name,
        "priorityClassName": wanted.priority_class_name,
        "nodeSelector": wanted.node_selector,
        "tolerations": [*wanted.tolerations, *_patience(wanted.tolerations)],
        "affinity": wanted.affinity,
    }
    return {key: value for key, value in fields.items() if value}


def _of_the_installation(spec: TrainingJobSpec, installation: Installation) -> dict[str, Any]:
    """What no field of a job says, and a podTemplate can change."""
    defaults = installation.defaults
    fields = {
        "runtimeClassName": defaults.runtime_class(spec.gpu_resource if spec.gpus_per_worker else None),
        "imagePullSecrets": defaults.pull_secrets(),
    }
    return {key: value for key, value in fields.items() if value}


def _patience(tolerations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How long a worker stays bound to a node that fails, unless the user says so: then only that counts."""
    seconds = {
        "node.kubernetes.io/unreachable": UNREACHABLE_SECONDS,
        "node.kubernetes.io/not-ready": NOT_READY_SECONDS,
    }
    said = {
        toleration.get("key") or "" for toleration in tolerations if toleration.get("effect") in (None, "", "NoExecute")
    }
    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": limit}
        for key, limit in seconds.items()
        if "" not in said and key not in said
    ]


def _runtime_volume(installation: Installation) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The volume that holds the runtime, and the init container that fills it where images cannot be mounted."""
    name = "regatta-runtime"
    if installation.image_volumes:
        source = {"reference": installation.runtime_image, "pullPolicy": installation.image_pull_policy}
        return {"name": name, "image": source}, None
    init = {
        "name": name,
        "image": installation.operator_image,
        "imagePullPolicy": installation.image_pull_policy,
        "command": ["python", "-m", "regatta_runtime.install", RUNTIME_PATH],
        "volumeMounts": [{"name": name, "mountPath": RUNTIME_PATH}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
    }
    return {"name": name, "emptyDir": {"sizeLimit": "64Mi"}}, init


def _variables(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
