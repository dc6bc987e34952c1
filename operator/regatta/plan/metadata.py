"""Labels and owner of every child object."""

from __future__ import annotations

from typing import Any

from regatta.api import names
from regatta.plan.model import Job

__all__ = ["child_metadata"]


def child_metadata(
    job: Job, name: str, *, attempt: int | None = None, worker: int | None = None, component: str = ""
) -> dict[str, Any]:
    """Metadata of a child: found by its labels, deleted with the job through its controller reference."""
    labels = {names.LABEL_JOB: job.name, names.LABEL_MANAGED_BY: names.MANAGED_BY}
    if attempt is not None:
        labels[names.LABEL_ATTEMPT] = str(attempt)
    if worker is not None:
        labels[names.LABEL_WORKER] = str(worker)
    if component:
        labels["app.kubernetes.io/component"] = component
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": f"{names.GROUP}/{names.VERSION}",
                "kind": "TrainingJob",
                "name": job.name,
                "uid": job.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
