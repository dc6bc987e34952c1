"""What is allowed in a job and still likely to disappoint: said by `regatta render`, never by the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from regatta.api.problem import Problem
from regatta.api.spec import Framework, KerasBackend, Runtime, TrainingJobSpec

__all__ = ["warnings"]

_DIES_WITH_POD: Final = ("emptyDir", "ephemeral")
_FLOATING: Final = ("latest", "main", "master", "nightly", "dev", "edge")


def warnings(spec: TrainingJobSpec) -> Iterator[Problem]:
    """Everything worth a second look in a valid spec, each with its path."""
    yield from _restarts(spec)
    yield from _image(spec)
    yield from _resources(spec)
    yield from _processes(spec)
    if spec.deadlines.starting is None:
        yield Problem("spec.deadlines.starting", "without it a job whose workers cannot start waits for ever")
    if spec.runtime is Runtime.OFF:
        yield Problem(
            "spec.runtime", "Off: nothing starts the processes together, measures them or restarts them in place"
        )


def _restarts(spec: TrainingJobSpec) -> Iterator[Problem]:
    if spec.checkpoint is None:
        if spec.restart.max_restarts:
            yield Problem(
                "spec.checkpoint",
                "none: every restart begins at the first step again; give a volume, or write restart.maxRestarts: 0",
            )
        return
    for kind in _DIES_WITH_POD:
        if kind in spec.checkpoint.volume:
            yield Problem(
                "spec.checkpoint.volume",
                f"{kind}: is gone with its pod, so a new attempt finds no checkpoint; use a persistentVolumeClaim",
            )
    if "hostPath" in spec.checkpoint.volume:
        yield Problem(
            "spec.checkpoint.volume",
            "hostPath: belongs to one node, so a worker that moves finds no checkpoint; use a persistentVolumeClaim",
        )


def _image(spec: TrainingJobSpec) -> Iterator[Problem]:
    if spec.image is None or "@" in spec.image:
        return
    _, colon, tag = spec.image.rpartition("/")[2].partition(":")
    if not colon or tag in _FLOATING:
        yield Problem(
            "spec.image",
            f"{spec.image}: the tag {tag or 'latest'} moves, so workers may run different programs; "
            "use a version or a digest",
        )


def _resources(spec: TrainingJobSpec) -> Iterator[Problem]:
    requests: dict[str, Any] = {**(spec.resources.get("limits") or {}), **(spec.resources.get("requests") or {})}
    overlaid = any(
        container.get("name") == "trainer" and container.get("resources")
        for container in (spec.pod_template.get("spec") or {}).get("containers", ())
    )
    if overlaid:
        return
    missing = [name for name in ("cpu", "memory") if name not in requests]
    if missing:
        yield Problem(
            "spec.resources",
            f"no {' and '.join(missing)}: workers are placed without regard to what they need, and are the first to be "
            "evicted",
        )
    if spec.processes > 1 and "cpu" not in (spec.resources.get("limits") or {}):
        yield Problem(
            "spec.resources.limits.cpu",
            f"none: each of the {spec.processes} processes of a worker starts a thread for every core of the node",
        )


def _processes(spec: TrainingJobSpec) -> Iterator[Problem]:
    gpus, processes = spec.gpus_per_worker, spec.processes
    if gpus and processes > gpus:
        yield Problem("spec.processesPerWorker", f"{processes} processes share {gpus} GPUs of a worker")
    elif (
        gpus
        and processes < gpus
        and (spec.framework in (Framework.PYTORCH, Framework.HOROVOD) or spec.keras_backend is KerasBackend.TORCH)
    ):
        yield Problem(
            "spec.processesPerWorker", f"{processes} processes for {gpus} GPUs: a process uses one, the others idle"
        )
