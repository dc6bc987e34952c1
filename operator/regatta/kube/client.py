"""The verbs: get, list, watch, create, delete, replace and patch, with plain dicts and bytes.

Objects are what `orjson` makes of them; nothing is copied, nothing is validated twice. Every method raises the
errors of `kube.errors` and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from typing import Any, Final, Self

from regatta.kube.config import Connection
from regatta.kube.resources import Resource
from regatta.kube.retry import NEVER, PATIENT, Effect, RetryPolicy
from regatta.kube.transport import REQUEST_SECONDS, Lane, Observer, Transport
from regatta.kube.wire import decode, encode

__all__ = ["METADATA_ONLY", "METADATA_ONLY_LIST", "Client"]

METADATA_ONLY: Final = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
"""Asks for the object's metadata alone: what is left of a created pod that we don't know already."""
METADATA_ONLY_LIST: Final = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}

_MERGE_PATCH: Final = {"Content-Type": "application/merge-patch+json"}


class Client:
    """What the operator asks of the API server. Use as an async context manager."""

    def __init__(
        self,
        connection: Connection,
        *,
        parallel_writes: int = 64,
        observer: Observer | None = None,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._transport = Transport(connection, parallel_writes=parallel_writes, observer=observer, may_write=may_write)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    @property
    def busy(self) -> bool:
        """Whether many creates and deletes are under way: what can wait should."""
        return self._transport.busy(Lane.BULK)

    async def wait_calm(self, *, seconds: float) -> None:
        """Let creates and deletes pass, for so many seconds at most."""
        await self._transport.wait_calm(Lane.BULK, seconds=seconds)

    async def get(
        self,
        resource: Resource,
        *,
        namespace: str,
        name: str,
        lane: Lane = Lane.READ,
        policy: RetryPolicy = PATIENT,
        seconds: float = REQUEST_SECONDS,
    ) -> dict[str, Any]:
        """The object as it is now (a consistent read)."""
        return decode(
            await self._transport.request(
                "GET",
                resource.path(namespace=namespace, name=name),
                verb="get",
                resource=resource.plural,
                lane=lane,
                effect=Effect.REPEATABLE,
                flow=namespace,
                policy=policy,
                seconds=seconds,
            )
        )

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        params: Mapping[str, str],
        metadata_only: bool = False,
    ) -> bytes:
        """One page of a collection, undecoded."""
        return await self._transport.request(
            "GET",
            resource.path(namespace=namespace),
            verb="list",
            resource=resource.plural,
            lane=Lane.READ,
            effect=Effect.REPEATABLE,
            flow=namespace,
            params=params,
            headers=METADATA_ONLY_LIST if metadata_only else None,
            seconds=60.0,
        )

    def watch(
        self, resource: Resource, *, namespace: str | None, params: Mapping[str, str], silence: float
    ) -> AsyncIterator[list[bytes]]:
        """Batches of undecoded watch events; an empty batch says that the stream has begun."""
        return self._transport.stream(
            resource.path(namespace=namespace),
            resource=resource.plural,
            params={"watch": "true", "allowWatchBookmarks": "true", **params},
            silence=silence,
        )

    async def create(
        self,
        resource: Resource,
        *,
        namespace: str,
        body: bytes | Mapping[str, Any],
        flow: Hashable = None,
        lane: Lane = Lane.BULK,
        once: bool = False,
        metadata_only: bool = False,
    ) -> dict[str, Any]:
        """Create an object that carries its name, and return it.

        When an answer is lost the request is repeated, so AlreadyExists may mean that our own object is there: the
        caller reads it back. With `once` it is not repeated.
        """
        return decode(
            await self._transport.request(
                "POST",
                resource.path(namespace=namespace),
                verb="create",
                resource=resource.plural,
                lane=lane,
                effect=Effect.ONCE if once else Effect.NAMED_CREATE,
                flow=flow,
                body=body if isinstance(body, bytes) else encode(body),
                headers=METADATA_ONLY if metadata_only else None,
                policy=NEVER if once else PATIENT,
                seconds=10.0 if once else REQUEST_SECONDS,
            )
        )

    async def delete(
        self,
        resource: Resource,
        *,
        namespace: str,
        name: str,
        uid: str | None = None,
        grace_seconds: int | None = None,
        flow: Hashable = None,
    ) -> None:
        """Ask for the object's deletion; Conflict when the name now belongs to another uid, NotFound when to nobody."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await self._transport.request(
            "DELETE",
            resource.path(namespace=namespace, name=name),
            verb="delete",
            resource=resource.plural,
            lane=Lane.BULK,
            effect=Effect.REPEATABLE if uid is not None else Effect.ONCE,
            flow=flow,
            body=encode(options),
            headers=METADATA_ONLY,
        )

    async def replace(
        self, resource: Resource, *, namespace: str, name: str, body: Mapping[str, Any], lane: Lane, seconds: float
    ) -> dict[str, Any]:
        """Put the object in place of the version it names; Conflict when that is no longer the stored one."""
        return decode(
            await self._transport.request(
                "PUT",
                resource.path(namespace=namespace, name=name),
                verb="update",
                resource=resource.plural,
                lane=lane,
                effect=Effect.ONCE,
                body=encode(body),
                policy=NEVER,
                seconds=seconds,
            )
        )

    async def patch_status(
        self, resource: Resource, *, namespace: str, name: str, patch: Mapping[str, Any], flow: Hashable = None
    ) -> dict[str, Any]:
        """Merge the patch into the object's status and return the object.

        The patch should hold `metadata.resourceVersion`: then it never applies to a version nobody has seen.
        """
        return decode(
            await self._transport.request(
                "PATCH",
                resource.path(namespace=namespace, name=name, subresource="status"),
                verb="patch",
                resource=resource.plural,
                lane=Lane.STATUS,
                effect=Effect.REPEATABLE,
                flow=flow,
                body=encode(patch),
                headers=_MERGE_PATCH,
            )
        )

    async def patch(
        self, resource: Resource, *, namespace: str, name: str, patch: Mapping[str, Any], lane: Lane
    ) -> dict[str, Any]:
        """Merge the patch into the object and return it."""
        return decode(
            await self._transport.request(
                "PATCH",
                resource.path(namespace=namespace, name=name),
                verb="patch",
                resource=resource.plural,
                lane=lane,
                effect=Effect.ONCE,
                body=encode(patch),
                headers=_MERGE_PATCH,
                policy=NEVER,
                seconds=10.0,
            )
        )

    async def get_path(self, path: str) -> dict[str, Any]:
        """What discovery serves at a path such as /version."""
        return decode(
            await self._transport.request(
                "GET", path, verb="get", resource="discovery", lane=Lane.READ, effect=Effect.REPEATABLE
            )
        )
