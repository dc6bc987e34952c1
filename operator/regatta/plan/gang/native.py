"""Kubernetes' own gang scheduling: a PodGroup of scheduling.k8s.io/v1beta1 that every worker's pod names.

Each attempt has a PodGroup of its own. Pods of the last attempt that still terminate would count as scheduled members
of a shared one, and let a part of the new crew in without the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from regatta.api import names
from regatta.plan.metadata import child_metadata
from regatta.plan.model import Create, Delete, Job

__all__ = ["API_VERSION", "KIND", "NativeGang"]

API_VERSION: Final = "scheduling.k8s.io/v1beta1"
KIND: Final = "PodGroup"


class NativeGang:
    """Lets kube-scheduler bind all workers of an attempt at once, or none."""

    name = "Native"

    def children(self, job: Job, *, attempt: int) -> tuple[Create, ...]:
        """The PodGroup: all workers or none, and whoever preempts one worker takes all of them."""
        assert job.spec is not None
        name = names.group_name(job.name, attempt)
        spec: dict[str, Any] = {
            "schedulingPolicy": {"gang": {"minCount": job.spec.workers}},
            "disruptionMode": {"all": {}},
        }
        if job.spec.scheduling.priority_class_name:
            spec["priorityClassName"] = job.spec.scheduling.priority_class_name
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": child_metadata(job, name, attempt=attempt),
            "spec": spec,
        }
        return (Create(kind=KIND, name=name, body=body),)

    def leftovers(self, job: Job, *, attempt: int) -> tuple[Delete, ...]:
        """The PodGroup of the attempt before."""
        if attempt < 2:
            return ()
        return (Delete(kind=KIND, name=names.group_name(job.name, attempt - 1), owner=job.uid),)

    def pod_spec(self, job: Job, *, attempt: int) -> Mapping[str, Any]:
        """The field that makes a pod a member."""
        return {"schedulingGroup": {"podGroupName": names.group_name(job.name, attempt)}}

    def group(self, job: Job, *, attempt: int) -> str:
        """The PodGroup's name."""
        return names.group_name(job.name, attempt)
