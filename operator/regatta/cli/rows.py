"""`regatta get`: jobs as a table with the columns of `kubectl get tj`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from regatta.api.status import TrainingJobStatus
from regatta.cli.text import age, columns, one_line

__all__ = ["job_table"]

_HEAD = ("NAME", "PHASE", "REASON", "WORKERS", "ATTEMPT", "PROGRESS", "GOODPUT", "AGE")


def job_table(jobs: Sequence[Mapping[str, Any]], *, namespaces: bool, now: datetime) -> list[str]:
    """Lines of the table, by namespace and name."""
    rows = []
    for job in sorted(jobs, key=lambda job: (job["metadata"].get("namespace", ""), job["metadata"]["name"])):
        metadata, status = job["metadata"], TrainingJobStatus.from_api(job.get("status"))
        goodput = status.efficiency.get("goodput")
        row = (
            one_line(metadata["name"]),
            str(status.phase or ""),
            one_line(status.reason),
            status.workers.summary if status.workers.desired else "",
            str(status.attempt or ""),
            status.progress.summary if status.progress else "",
            "" if goodput is None else f"{goodput:.2f}",
            age(metadata.get("creationTimestamp"), now=now),
        )
        rows.append((one_line(metadata.get("namespace", "")), *row) if namespaces else row)
    head = ("NAMESPACE", *_HEAD) if namespaces else _HEAD
    return columns([head, *rows])
