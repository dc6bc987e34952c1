"""Carries out a plan's creates and deletes: in parallel, fairly between jobs, and telling exactly what exists now.

The outcome accounts for every create of the plan: it exists (created by us now, or ours already), or there is a
`CreateFailure` for it. Names are deterministic, so a repeated create meets its own earlier object and accepts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from regatta.api import names
from regatta.kube.client import Client
from regatta.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NamespaceTerminating,
    NotFound,
    QuotaExceeded,
)
from regatta.kube.records import pod_facts
from regatta.kube.resources import PODS, by_kind
from regatta.kube.store import JobKey, PodStore
from regatta.plan.model import Create, CreateFailure, Delete, FailureKind, Outcome, PodFacts

__all__ = ["Applier", "failure_kind"]

PARALLEL_PER_JOB: Final = 64
HOPELESS: Final = frozenset(
    {FailureKind.INVALID, FailureKind.QUOTA_EXCEEDED, FailureKind.FORBIDDEN, FailureKind.NAMESPACE_GONE}
)
"""Failures that the job's other pods would meet as well: they are not tried."""


class Applier:
    """Writes children. What it learns goes into the store at once, so the next plan sees it."""

    def __init__(self, client: Client, pods: PodStore) -> None:
        self._client = client
        self._pods = pods

    async def apply(
        self, job: JobKey, *, creates: tuple[Create, ...] = (), deletes: tuple[Delete, ...] = ()
    ) -> Outcome:
        """Create and delete; raises ApiError only where a delete fails, after everything was tried."""
        if not creates and not deletes:
            return Outcome()
        async with asyncio.TaskGroup() as group:
            deleting = group.create_task(self._delete_all(job, deletes))
            creating = group.create_task(self._create_all(job, creates))
        failed = deleting.result()
        if failed is not None and not creates:
            raise failed
        # With creates beside them, failed deletes are left to the next plan, which still sees the objects.
        return creating.result()

    async def _create_all(self, job: JobKey, creates: tuple[Create, ...]) -> Outcome:
        created: list[PodFacts] = []
        failures: list[CreateFailure] = []
        pods = [create for create in creates if create.kind == PODS.kind]
        needed = [create for create in creates if create.kind != PODS.kind]
        for create in needed:
            failure = await self._create(job, create, created)
            if failure is not None:
                failures.append(failure)
        if failures:
            # A pod without its Service or ConfigMap could only hang.
            failures += [_spared(pod, failures[0]) for pod in pods]
        elif pods:
            # The first goes alone: what the API server refuses for one pod of a job it refuses for all of them.
            failure = await self._create(job, pods[0], created)
            if failure is not None:
                failures.append(failure)
            rest = iter(pods[1:])
            async with asyncio.TaskGroup() as group:
                for _ in range(min(PARALLEL_PER_JOB, len(pods) - 1)):
                    group.create_task(self._create_some(job, rest, created, failures))
        return Outcome(created=tuple(created), failures=tuple(failures))

    async def _create_some(
        self, job: JobKey, queue: Iterator[Create], created: list[PodFacts], failures: list[CreateFailure]
    ) -> None:
        for create in queue:
            hopeless = next((failure for failure in failures if failure.failure in HOPELESS), None)
            failure = _spared(create, hopeless) if hopeless else await self._create(job, create, created)
            if failure is not None:
                failures.append(failure)

    async def _create(self, job: JobKey, create: Create, created: list[PodFacts]) -> CreateFailure | None:
        """Make sure that one object exists; its record goes to `created` when it is a pod."""
        resource = by_kind(create.kind)
        namespace, _ = job
        for last_try in (False, True):
            try:
                answer = await self._client.create(
                    resource, namespace=namespace, body=create.body, flow=job, metadata_only=True
                )
                break
            except AlreadyExists as taken:
                try:
                    answer = await self._client.get(resource, namespace=namespace, name=create.name)
                except NotFound:
                    # It went away between the two requests: the name may be free now.
                    if last_try:
                        return _failure(create, FailureKind.TERMINATING, taken)
                    continue
                except ApiError as error:
                    return _failure(create, failure_kind(error), error)
                obstacle = _obstacle(create.body, answer)
                if obstacle is not None:
                    return _failure(create, obstacle, taken)
                break
            except ApiError as error:
                return _failure(create, failure_kind(error), error)
        if resource is PODS:
            pod = pod_facts(answer)
            self._pods.upsert(pod)
            created.append(pod)
        return None

    async def _delete_all(self, job: JobKey, deletes: tuple[Delete, ...]) -> ApiError | None:
        if not deletes:
            return None
        errors: list[ApiError] = []
        queue = iter(deletes)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(PARALLEL_PER_JOB, len(deletes))):
                group.create_task(self._delete_some(job, queue, errors))
        return errors[0] if errors else None

    async def _delete_some(self, job: JobKey, queue: Iterable[Delete], errors: list[ApiError]) -> None:
        namespace, _ = job
        for delete in queue:
            try:
                uid = delete.uid or await self._uid(namespace, delete)
                if uid is None:
                    continue
                await self._client.delete(
                    by_kind(delete.kind),
                    namespace=namespace,
                    name=delete.name,
                    uid=uid,
                    grace_seconds=delete.grace_seconds,
                    # A line of their own: an attempt of hundreds that ends must not hold up the next one.
                    flow=(*job, "deletes"),
                )
            except (NotFound, Conflict):
                pass  # gone, or the name belongs to a later object
            except ApiError as error:
                errors.append(error)

    async def _uid(self, namespace: str, delete: Delete) -> str | None:
        """uid of the object that bears the name, None when it is not the plan's to delete; NotFound when none is."""
        metadata = (await self._client.get(by_kind(delete.kind), namespace=namespace, name=delete.name))["metadata"]
        return str(metadata["uid"]) if _controller(metadata) == delete.owner else None


def failure_kind(error: ApiError) -> FailureKind:
    """How decisions see a refused create."""
    match error:
        case QuotaExceeded():
            return FailureKind.QUOTA_EXCEEDED
        case NamespaceTerminating() | NotFound():
            return FailureKind.NAMESPACE_GONE
        case Forbidden():
            return FailureKind.FORBIDDEN
        case Invalid() | Gone():
            return FailureKind.INVALID
        case AlreadyExists():
            return FailureKind.NAME_TAKEN
        case _:
            return FailureKind.UNAVAILABLE


def _obstacle(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> FailureKind | None:
    """Why an object that has the name can't be taken for the wanted one; None when it is the wanted one."""
    metadata = found.get("metadata", {})
    if metadata.get("deletionTimestamp"):
        return FailureKind.TERMINATING
    labels = metadata.get("labels") or {}
    attempt = wanted["metadata"].get("labels", {}).get(names.LABEL_ATTEMPT)
    ours = _controller(metadata) == _controller(wanted["metadata"])
    if ours and (attempt is None or labels.get(names.LABEL_ATTEMPT) == attempt):
        return None
    return FailureKind.NAME_TAKEN


def _controller(metadata: Mapping[str, Any]) -> object:
    """uid of the controlling owner. Never equal to another's where there is none."""
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return owner.get("uid")
    return object()


def _failure(create: Create, kind: FailureKind, error: ApiError) -> CreateFailure:
    return CreateFailure(
        kind=create.kind, name=create.name, failure=kind, message=error.message, retry_after=error.retry_after
    )


def _spared(create: Create, because: CreateFailure) -> CreateFailure:
    """The failure of an object that was not tried, because another one's failure says enough."""
    return CreateFailure(
        kind=create.kind,
        name=create.name,
        failure=because.failure,
        message=because.message,
        retry_after=because.retry_after,
    )
