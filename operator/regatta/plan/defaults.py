"""Fills in what a job leaves to the installation, before anything is decided about it.

A field that the user wrote, null included, is never touched. Labels of the node selector are merged key by key, the
job's own winning. So precedence is, from the strongest: podTemplate, the job's field, the installation, the operator.
"""

from __future__ import annotations

from dataclasses import replace

from regatta.api.defaults import JobDefaults
from regatta.api.spec import Deadlines, Runtime, TrainingJobSpec
from regatta.plan.model import Job

__all__ = ["with_defaults"]


def with_defaults(job: Job, defaults: JobDefaults) -> Job:
    """Return the job as it counts under these defaults; a job without a legible spec as it is."""
    if job.spec is None:
        return job
    return replace(job, spec=_spec(job.spec, defaults))


def _spec(spec: TrainingJobSpec, defaults: JobDefaults) -> TrainingJobSpec:
    mine = {
        "gpu_resource": defaults.gpu_resources[0].name,
        "cleanup": defaults.cleanup,
        "ttl_seconds_after_finished": defaults.ttl_seconds_after_finished,
    }
    filled: dict[str, object] = {field: value for field, value in mine.items() if field not in spec.model_fields_set}
    filled["deadlines"] = _deadlines(spec, defaults)
    scheduling = spec.scheduling
    wanted: dict[str, object] = {"node_selector": {**defaults.node_selector, **scheduling.node_selector}}
    if "gang" not in scheduling.model_fields_set:
        wanted["gang"] = defaults.gang
    filled["scheduling"] = scheduling.model_copy(update=wanted)
    return spec.model_copy(update=filled)


def _deadlines(spec: TrainingJobSpec, defaults: JobDefaults) -> Deadlines:
    written = spec.deadlines.model_fields_set
    filled = {field: value for field, value in defaults.deadlines if field not in written}
    if spec.runtime is Runtime.OFF:
        # Nobody would see a step: what a job may not ask for, no default gives it.
        filled.pop("stalled", None)
    return spec.deadlines.model_copy(update=filled)
