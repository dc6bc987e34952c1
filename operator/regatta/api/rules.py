"""What a spec must keep to beyond its types; each rule that CEL can say stands in `regatta.api.cel` as well."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from regatta.api import names, reserved
from regatta.api.problem import Problem, join
from regatta.api.quantity import parse_quantity
from regatta.api.spec import Checkpoint, Framework, Runtime, Source, TrainingJobSpec

__all__ = [
    "BACKEND",
    "COMPILE",
    "LAUNCHED",
    "LAUNCHED_HOROVOD",
    "MAX_INLINE_BYTES",
    "NO_SPACE",
    "ONE_PROCESS",
    "OTHER_BACKEND",
    "env_from_problems",
    "is_extended_resource",
    "mount_problems",
    "path_problems",
    "resource_problems",
    "source_problems",
    "variable_problems",
    "violations",
    "volume_problems",
]

BACKEND: Final = "required with framework Keras: torch or tensorflow"
OTHER_BACKEND: Final = "spec.kerasBackend chooses the backend; leave KERAS_BACKEND out"
ONE_PROCESS: Final = (
    "on TensorFlow one process drives all GPUs of its worker (MirroredStrategy); leave it out, and write "
    "more workers for more processes"
)
LAUNCHED: Final = (
    "on TensorFlow with more than one worker the runtime computes TF_CONFIG; leave out runtime: Off, or use "
    "framework Custom with a program that finds the other workers itself"
)
LAUNCHED_HOROVOD: Final = (
    "with framework Horovod and more than one worker the runtime is where the processes find each other; leave out "
    "runtime: Off, or use framework Custom with a program that finds the other workers itself"
)
COMPILE: Final = (
    "needs framework TensorFlow, or Keras on it, where XLA takes over without a change of the code; leave it out, and "
    "compile in the program itself: model = torch.compile(model), in Keras model.compile(..., jit_compile=True)"
)
NO_SPACE: Final = "an image's name holds no space; write one such as registry.example.com/app:1.0"

MAX_INLINE_BYTES: Final = 900_000
"""A ConfigMap holds 1 MiB, its own names and metadata included."""

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_RESOURCE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def is_extended_resource(text: str) -> bool:
    """Whether a text can be the name of an extended resource, such as nvidia.com/gpu."""
    return _RESOURCE.fullmatch(text) is not None


def violations(spec: TrainingJobSpec) -> Iterator[Problem]:
    """Everything in a readable spec, its podTemplate apart, that could not work."""
    yield from _program(spec)
    if spec.gpu_resource and not is_extended_resource(spec.gpu_resource):
        yield Problem("spec.gpuResource", "an extended resource is called DOMAIN/NAME, such as nvidia.com/gpu")
    if spec.runtime is Runtime.OFF and spec.deadlines.stalled is not None:
        yield Problem(
            "spec.deadlines.stalled",
            "needs the runtime, which sees the program's steps; leave it out, or leave out runtime: Off",
        )
    if spec.source is not None:
        yield from _source(spec.source)
    yield from variable_problems(spec.env, path="spec.env")
    yield from env_from_problems(spec.env_from, path="spec.envFrom")
    yield from volume_problems(spec.volumes, path="spec.volumes")
    yield from mount_problems(
        spec.volume_mounts, path="spec.volumeMounts", volumes=_volume_names(spec), taken=_taken_paths(spec)
    )
    yield from resource_problems(spec.resources, path="spec.resources")
    for kind in ("requests", "limits"):
        if spec.gpu_resource in (spec.resources.get(kind) or {}):
            yield Problem(join("spec.resources", kind, spec.gpu_resource), "leave it out and write spec.gpusPerWorker")
    if spec.checkpoint is not None:
        yield from _checkpoint(spec.checkpoint, sourced=spec.source is not None)
    for index, rule in enumerate(spec.restart.rules):
        if not rule.exit_codes and not rule.causes:
            yield Problem(join("spec.restart.rules", index), "needs exitCodes, causes or both")


def _program(spec: TrainingJobSpec) -> Iterator[Problem]:
    if spec.runtime is Runtime.AUTO and not spec.command:
        yield Problem(
            "spec.command",
            "required: write the command of one training process, such as [python, train.py]; only runtime: Off runs "
            "an image's own entrypoint",
        )
    elif spec.command and not spec.command[0].strip():
        yield Problem("spec.command[0]", "must name the program, such as python")
    if spec.framework is Framework.CUSTOM and spec.image is None:
        yield Problem("spec.image", "required with framework Custom: no default image belongs to it")
    if spec.image is not None and re.search(r"\s", spec.image):
        yield Problem("spec.image", NO_SPACE)
    if spec.keras_backend is not None and spec.framework is not Framework.KERAS:
        yield Problem("spec.kerasBackend", "belongs to framework Keras; leave it out")
    if spec.framework is Framework.KERAS:
        yield from _keras(spec)
    if spec.on_tensorflow:
        yield from _tensorflow(spec)
    elif spec.compile:
        yield Problem("spec.compile", COMPILE)
    if spec.framework is Framework.HOROVOD and spec.runtime is Runtime.OFF and spec.workers > 1:
        yield Problem("spec.runtime", LAUNCHED_HOROVOD)


def _keras(spec: TrainingJobSpec) -> Iterator[Problem]:
    if spec.keras_backend is None:
        yield Problem("spec.kerasBackend", BACKEND)
        return
    for index, variable in enumerate(spec.env):
        if variable.get("name") == "KERAS_BACKEND" and variable.get("value") != spec.keras_backend:
            yield Problem(join("spec.env", index), OTHER_BACKEND)


def _tensorflow(spec: TrainingJobSpec) -> Iterator[Problem]:
    if spec.processes > 1:
        yield Problem("spec.processesPerWorker", ONE_PROCESS)
    if spec.runtime is Runtime.OFF and spec.workers > 1:
        yield Problem("spec.runtime", LAUNCHED)


def _source(source: Source) -> Iterator[Problem]:
    if (source.config_map is None) == (source.inline is None):
        yield Problem("spec.source", "give exactly one of configMap and inline")
    if source.inline is None:
        return
    if not source.inline:
        yield Problem("spec.source.inline", "needs at least one file, such as {train.py: ...}")
    for name in source.inline:
        if not _FILE_NAME.fullmatch(name):
            yield Problem(
                join("spec.source.inline", name),
                "a file's name holds letters, digits, '.', '_' and '-', and no folder, such as train.py",
            )
    size = sum(len(name) + len(text.encode()) for name, text in source.inline.items())
    if size > MAX_INLINE_BYTES:
        yield Problem(
            "spec.source.inline",
            f"{size} bytes; at most {MAX_INLINE_BYTES} fit into a ConfigMap: put the code into the image",
        )


def _checkpoint(checkpoint: Checkpoint, *, sourced: bool) -> Iterator[Problem]:
    yield from path_problems(checkpoint.path, path="spec.checkpoint.path", example="/checkpoints")
    if sourced and f"{_normal(checkpoint.path)}/".startswith(f"{reserved.WORKSPACE_PATH}/"):
        yield Problem("spec.checkpoint.path", f"{reserved.WORKSPACE_PATH} is read-only, because spec.source fills it")
    yield from source_problems(checkpoint.volume, path="spec.checkpoint.volume", claim="checkpoints")


def source_problems(volume: Mapping[str, Any], *, path: str, claim: str) -> Iterator[Problem]:
    """What is wrong with a volume source that stands alone; `claim` names one in the advice."""
    if "name" in volume:
        yield Problem(join(path, "name"), "leave it out: Regatta names this volume")
    elif len(volume) != 1:
        example = f"{{persistentVolumeClaim: {{claimName: {claim}}}}}"
        yield Problem(path, f"write exactly one volume source, such as {example}")


def env_from_problems(items: Iterable[Mapping[str, Any]], *, path: str) -> Iterator[Problem]:
    """What is wrong with a container's `envFrom`."""
    for index, item in enumerate(items):
        if not item.keys() & {"configMapRef", "secretRef"}:
            yield Problem(join(path, index), "needs configMapRef or secretRef, each {name: NAME}")


def variable_problems(variables: Iterable[Mapping[str, Any]], *, path: str) -> Iterator[Problem]:
    """What is wrong with a container's `env`."""
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name = variable.get("name")
        where = join(path, index, "name")
        if not isinstance(name, str) or not name or "=" in name or not name.isprintable():
            yield Problem(where, "required: the name of a variable, such as NCCL_DEBUG")
            continue
        if reserved.is_reserved_variable(name):
            yield Problem(where, f"{name} is computed for every process by Regatta; leave it out")
        if name in seen:
            yield Problem(where, f"{name} is given more than once")
        seen.add(name)
        if not isinstance(variable.get("value"), str | None):
            yield Problem(join(path, index, "value"), "write a text; put numbers and true or false in quotes")
        if variable.get("value") and variable.get("valueFrom"):
            yield Problem(join(path, index), "give value or valueFrom, not both")


def volume_problems(volumes: Iterable[Mapping[str, Any]], *, path: str, overlay: bool = False) -> Iterator[Problem]:
    """What is wrong with a list of volumes; an overlay may change the shared memory that every worker has."""
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        name = volume.get("name")
        where = join(path, index, "name")
        if not isinstance(name, str) or not names.is_dns_label(name):
            yield Problem(where, "required: a name of lower-case letters, digits and '-', such as data")
            continue
        if reserved.is_reserved_volume(name) and not (overlay and name in reserved.RESERVED_VOLUMES):
            yield Problem(where, f"{name} belongs to Regatta; choose another name")
        if name in seen:
            yield Problem(where, f"two volumes are called {name}")
        seen.add(name)
        if len(volume) != 2 or any(key.startswith("$") for key in volume):
            yield Problem(join(path, index), "write exactly one volume source, such as emptyDir: {}")


def mount_problems(
    mounts: Iterable[Mapping[str, Any]],
    *,
    path: str,
    volumes: frozenset[str],
    taken: Mapping[str, str],
    trainer: bool = True,
) -> Iterator[Problem]:
    """What is wrong with a container's `volumeMounts`; `taken` maps paths in use to who uses them."""
    used = dict(taken)
    for index, mount in enumerate(mounts):
        name, place = mount.get("name"), mount.get("mountPath")
        if not isinstance(name, str) or name not in volumes:
            known = ", ".join(sorted(volumes)) or "none is defined"
            yield Problem(join(path, index, "name"), f"no volume is called {name}; known: {known}")
        where = join(path, index, "mountPath")
        if not isinstance(place, str):
            yield Problem(where, "required: an absolute path, such as /data")
            continue
        yield from path_problems(place, path=where, example="/data", trainer=trainer)
        normal = _normal(place)
        if normal in used:
            yield Problem(where, f"{place} is used by {used[normal]} already; choose another path")
        elif reserved.WORKSPACE_PATH in taken and normal.startswith(f"{reserved.WORKSPACE_PATH}/"):
            yield Problem(where, f"nothing can be mounted inside {reserved.WORKSPACE_PATH}, which spec.source fills")
        used[normal] = join(path, index)


def path_problems(place: str, *, path: str, example: str, trainer: bool = True) -> Iterator[Problem]:
    """What is wrong with an absolute path of a container; outside of the training container all are free."""
    if not place.startswith("/") or _normal(place) == "/" or ".." in place.split("/") or ":" in place:
        yield Problem(path, f"write an absolute path without '..' and ':', such as {example}")
    elif trainer and (owned := reserved.reserved_path(_normal(place))) is not None:
        yield Problem(path, f"{owned} belongs to Regatta; choose another path, such as {example}")


def _normal(place: str) -> str:
    return "/" + posixpath.normpath(place).lstrip("/")


def resource_problems(resources: Mapping[str, Any], *, path: str) -> Iterator[Problem]:
    """What is wrong with a container's `resources`."""
    amounts: dict[str, dict[str, Any]] = {"requests": {}, "limits": {}}
    for key, value in resources.items():
        if key == "claims":
            continue
        if key not in amounts:
            yield Problem(join(path, key), "unknown field; write requests or limits")
        elif value is not None and not isinstance(value, Mapping):
            yield Problem(join(path, key), "write an object, such as {cpu: 4, memory: 16Gi}")
        else:
            for name, amount in (value or {}).items():
                try:
                    quantity = parse_quantity(amount)
                except ValueError as error:
                    yield Problem(join(path, key, name), str(error))
                    continue
                if quantity < 0:
                    yield Problem(join(path, key, name), "must not be negative")
                amounts[key][name] = quantity
    for name, request in amounts["requests"].items():
        if request > amounts["limits"].get(name, request):
            yield Problem(join(path, "requests", name), "is more than the limit; lower it, or raise the limit")


def _volume_names(spec: TrainingJobSpec) -> frozenset[str]:
    pod = spec.pod_template.get("spec")
    further = pod.get("volumes") if isinstance(pod, Mapping) else None
    volumes = [*spec.volumes, *(further if isinstance(further, list) else [])]
    return frozenset(
        volume["name"] for volume in volumes if isinstance(volume, Mapping) and isinstance(volume.get("name"), str)
    )


def _taken_paths(spec: TrainingJobSpec) -> dict[str, str]:
    taken = {}
    if spec.source is not None:
        taken[reserved.WORKSPACE_PATH] = "spec.source"
    if spec.checkpoint is not None:
        taken[_normal(spec.checkpoint.path)] = "spec.checkpoint"
    return taken
