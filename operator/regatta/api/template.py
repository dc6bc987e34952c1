"""Checks the podTemplate: an overlay may add to a worker pod, but not break the training container or its identity."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from regatta.api import names, reserved
from regatta.api.problem import Problem, join
from regatta.api.rules import mount_problems, resource_problems, variable_problems, volume_problems
from regatta.api.spec import Runtime, TrainingJobSpec

__all__ = ["template_problems"]

_ROOT: Final = "spec.podTemplate"
_SPEC: Final = f"{_ROOT}.spec"

_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

_OWN_LABELS: Final = (names.LABEL_MANAGED_BY,)
_OF_THE_POD: Final = {
    "restartPolicy": "leave it out: Regatta restarts workers itself, by spec.restart",
    "hostname": "leave it out: workers find each other by the names that Regatta gives them",
    "subdomain": "leave it out: workers find each other by the names that Regatta gives them",
    "setHostnameAsFQDN": "leave it out: workers find each other by the names that Regatta gives them",
    "ephemeralContainers": "leave it out: they are added to running pods only",
    "schedulingGates": "leave it out: nothing would lift them",
}
"""Fields of a pod that an overlay may not set, and why."""
_OF_THE_TRAINER: Final = {
    "command": "write it into spec.command",
    "args": "write it into spec.args",
    "image": "write it into spec.image",
    "terminationMessagePath": "leave it out: the launcher tells there how the training ended",
    "restartPolicy": "leave it out: Regatta restarts workers itself, by spec.restart",
    "restartPolicyRules": "leave it out: Regatta restarts workers itself, by spec.restart",
}
_OF_THE_LAUNCHER: Final = {
    "startupProbe": "leave it out: it tells Regatta when the training has started",
}
_LISTS: Final = ("containers", "initContainers", "volumes")


def template_problems(spec: TrainingJobSpec) -> Iterator[Problem]:
    """Everything in the podTemplate that could not work."""
    template = spec.pod_template
    for key in template.keys() - {"metadata", "spec"}:
        yield Problem(join(_ROOT, key), "unknown field; a podTemplate has metadata and spec")
    metadata, pod = template.get("metadata", {}), template.get("spec", {})
    if isinstance(metadata, Mapping):
        yield from _metadata(metadata)
    else:
        yield Problem(f"{_ROOT}.metadata", "write an object with labels and annotations, or leave it out")
    if isinstance(pod, Mapping):
        yield from _pod(pod, spec=spec)
    else:
        yield Problem(_SPEC, "write an object, a partial PodSpec, or leave it out")


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Problem]:
    path = f"{_ROOT}.metadata"
    for key in metadata.keys() - {"labels", "annotations"}:
        yield Problem(join(path, key), "leave it out: only labels and annotations can be set here")
    for kind in ("labels", "annotations"):
        entries = metadata.get(kind, {})
        if not isinstance(entries, Mapping):
            yield Problem(join(path, kind), "write an object (key: value), or leave it out")
            continue
        for key, value in entries.items():
            where = join(path, kind, key)
            if not _KEY.fullmatch(key):
                yield Problem(where, "a key is NAME or DOMAIN/NAME, of letters, digits, '-', '_' and '.'")
            elif key.startswith(names.LABEL_DOMAIN) or (kind == "labels" and key in _OWN_LABELS):
                yield Problem(where, "leave it out: Regatta finds its pods by this key")
            elif not isinstance(value, str):
                yield Problem(where, "write a text; put numbers and true or false in quotes")
            elif kind == "labels" and not _VALUE.fullmatch(value):
                yield Problem(where, "a label's value has at most 63 letters, digits, '-', '_' and '.'")


def _pod(pod: Mapping[str, Any], *, spec: TrainingJobSpec) -> Iterator[Problem]:
    for key in pod:
        if key in _OF_THE_POD:
            yield Problem(join(_SPEC, key), _OF_THE_POD[key])
        elif key.startswith("$"):
            yield Problem(join(_SPEC, key), "leave it out: the pod can be added to, not replaced")
    lists: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for key in _LISTS:
        entries = pod.get(key, [])
        lists[key] = []
        if not isinstance(entries, list):
            yield Problem(join(_SPEC, key), "write a list, or leave it out")
            continue
        for index, entry in enumerate(entries):
            if isinstance(entry, Mapping):
                lists[key].append((index, entry))
            else:
                yield Problem(join(_SPEC, key, index), "write an object with a name")
    yield from volume_problems((entry for _, entry in lists["volumes"]), path=f"{_SPEC}.volumes", overlay=True)
    volumes = _volumes(spec, lists["volumes"])
    seen: set[str] = set()
    for key in ("initContainers", "containers"):
        for index, entry in lists[key]:
            yield from _container(entry, path=join(_SPEC, key, index), init=key == "initContainers", seen=seen)
            yield from _inside(entry, path=join(_SPEC, key, index), spec=spec, volumes=volumes)


def _volumes(spec: TrainingJobSpec, further: list[tuple[int, Mapping[str, Any]]]) -> frozenset[str]:
    own = {"dshm"}
    if spec.source is not None:
        own.add("regatta-source")
    if spec.checkpoint is not None:
        own.add("regatta-checkpoint")
    given = (volume.get("name") for volume in (*spec.volumes, *(entry for _, entry in further)))
    return frozenset(own) | {name for name in given if isinstance(name, str)}


def _container(entry: Mapping[str, Any], *, path: str, init: bool, seen: set[str]) -> Iterator[Problem]:
    """Whether the container has a name of its own and can exist."""
    name = entry.get("name")
    if not isinstance(name, str) or not names.is_dns_label(name):
        yield Problem(f"{path}.name", f"required: {names.TRAINER} for the training container, or a sidecar's own name")
        return
    if name in seen:
        yield Problem(f"{path}.name", f"two containers are called {name}")
    seen.add(name)
    if name in reserved.RESERVED_CONTAINERS or name.startswith(reserved.RESERVED_PREFIX):
        yield Problem(f"{path}.name", f"{name} belongs to Regatta; choose another name")
    elif name == names.TRAINER and init:
        yield Problem(f"{path}.name", f"{names.TRAINER} is the training container; choose another name")
    elif name != names.TRAINER and not entry.get("image"):
        yield Problem(
            f"{path}.image",
            f"required: {name} is a container of its own; the training container is called {names.TRAINER}",
        )


def _inside(
    entry: Mapping[str, Any], *, path: str, spec: TrainingJobSpec, volumes: frozenset[str]
) -> Iterator[Problem]:
    trainer = entry.get("name") == names.TRAINER
    if trainer:
        refused = _OF_THE_TRAINER | (_OF_THE_LAUNCHER if spec.runtime is Runtime.AUTO else {})
        for key in entry:
            if key in refused:
                yield Problem(join(path, key), refused[key])
    for key in entry:
        if key.startswith("$"):
            yield Problem(join(path, key), "leave it out: a container can be added to, not replaced")
    for key in ("env", "volumeMounts", "ports"):
        entries = entry.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(item, Mapping) for item in entries):
            yield Problem(join(path, key), "write a list of objects, or leave it out")
        elif key == "env" and trainer:
            yield from variable_problems(entries, path=f"{path}.env")
        elif key == "volumeMounts":
            taken = _mounted(spec) if trainer else {}
            yield from mount_problems(
                entries, path=f"{path}.volumeMounts", volumes=volumes, taken=taken, trainer=trainer
            )
    resources = entry.get("resources", {})
    if isinstance(resources, Mapping):
        yield from resource_problems(resources, path=f"{path}.resources")
    else:
        yield Problem(f"{path}.resources", "write an object with requests and limits, or leave it out")


def _mounted(spec: TrainingJobSpec) -> dict[str, str]:
    return {str(mount.get("mountPath")): "spec.volumeMounts" for mount in spec.volume_mounts}
