"""The headless Service that gives every worker a name, and the ConfigMap that carries inline code."""

from __future__ import annotations

from regatta.api import names
from regatta.plan.metadata import child_metadata
from regatta.plan.model import Create, Job

__all__ = ["headless_service", "source_config_map"]


def headless_service(job: Job) -> Create:
    """Return the job's Service: names resolve before pods are ready, because rendezvous is what makes them ready."""
    name = names.service_name(job.name)
    return Create(
        kind="Service",
        name=name,
        body={
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": child_metadata(job, name),
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": {names.LABEL_JOB: job.name, names.LABEL_MANAGED_BY: names.MANAGED_BY},
            },
        },
    )


def source_config_map(job: Job) -> Create | None:
    """Return the ConfigMap with the job's inline code, or None when the job carries none."""
    source = job.spec.source if job.spec else None
    if source is None or source.inline is None:
        return None
    name = names.source_name(job.name)
    return Create(
        kind="ConfigMap",
        name=name,
        body={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": child_metadata(job, name),
            "data": dict(source.inline),
        },
    )
