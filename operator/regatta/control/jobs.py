"""All TrainingJobs as last told, each parsed once per generation of its spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from regatta.api.spec import TrainingJobSpec
from regatta.api.status import Phase, TrainingJobStatus
from regatta.api.validate import Problem, check
from regatta.kube.records import version_number
from regatta.kube.store import JobKey
from regatta.plan.model import Job

__all__ = ["CachedJob", "JobCache", "key_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedJob:
    """A job and what is needed to write its status."""

    job: Job
    resource_version: str
    deleting: bool
    """Whether somebody ordered its deletion and something holds it back: no new children."""

    @property
    def key(self) -> JobKey:
        """Namespace and name."""
        return self.job.namespace, self.job.name


class JobCache:
    """Jobs by namespace and name. Whoever tells the newest version wins, whether a watch or an answer to a write."""

    def __init__(self) -> None:
        self._jobs: dict[JobKey, CachedJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[CachedJob]:
        return iter(tuple(self._jobs.values()))

    def get(self, key: JobKey) -> CachedJob | None:
        """The job as last told."""
        return self._jobs.get(key)

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Take a job's JSON; whether it was news."""
        metadata = raw["metadata"]
        key = key_of(raw)
        version = str(metadata.get("resourceVersion", ""))
        known = self._jobs.get(key)
        if known is not None and version_number(version) <= version_number(known.resource_version):
            return False
        spec, problems = self._parsed(raw, known)
        self._jobs[key] = CachedJob(
            job=Job(
                namespace=key[0],
                name=key[1],
                uid=str(metadata["uid"]),
                generation=int(metadata.get("generation", 0)),
                created_at=_time(metadata.get("creationTimestamp")),
                spec=spec,
                status=TrainingJobStatus.from_api(_dict(raw.get("status"))),
                problems=problems,
            ),
            resource_version=version,
            deleting="deletionTimestamp" in metadata,
        )
        return True

    def remove(self, key: JobKey, *, uid: str) -> bool:
        """Take that the job of this uid is gone; ignored when another one has its name by now."""
        known = self._jobs.get(key)
        if known is None or known.job.uid != uid:
            return False
        del self._jobs[key]
        return True

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Number of jobs by namespace, framework and phase."""
        counted: dict[tuple[str, str, str], int] = {}
        for cached in self._jobs.values():
            job = cached.job
            framework = job.spec.framework.value if job.spec is not None else "unknown"
            phase = (job.status.phase or Phase.QUEUED).value
            kind = (job.namespace, framework, phase)
            counted[kind] = counted.get(kind, 0) + 1
        return counted

    @staticmethod
    def _parsed(raw: Mapping[str, Any], known: CachedJob | None) -> tuple[TrainingJobSpec | None, tuple[Problem, ...]]:
        metadata = raw["metadata"]
        if (
            known is not None
            and known.job.uid == metadata["uid"]
            and known.job.generation == metadata.get("generation", 0)
        ):
            # Most versions of a job differ in their status alone.
            return known.job.spec, known.job.problems
        try:
            return check(raw)
        except Exception as error:
            # Thousands of levels of JSON, say. Refusing it is an answer; an exception here would be silence.
            return None, (Problem("spec", f"can't be read: {error}"),)


def key_of(raw: Mapping[str, Any]) -> JobKey:
    """Namespace and name of a job's JSON."""
    metadata = raw["metadata"]
    return str(metadata["namespace"]), str(metadata["name"])


def _dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _time(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
