"""Reads a whole collection page by page, as of one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

from regatta.kube.client import Client
from regatta.kube.resources import Resource
from regatta.kube.wire import decode

__all__ = ["Listing", "list_all"]

T = TypeVar("T")

PAGE: Final = 500


class Listing(NamedTuple, Generic[T]):
    """All objects of a collection and the version they are of."""

    items: list[T]
    resource_version: str


async def list_all(
    client: Client,
    resource: Resource,
    *,
    namespace: str | None,
    convert: Callable[[dict[str, Any]], T],
    params: Mapping[str, str] | None = None,
    metadata_only: bool = False,
) -> Listing[T]:
    """The collection as of now (a consistent read), each object converted as its page arrives.

    Gone when it took so long that the pages no longer fit together.
    """
    items: list[T] = []
    asked = {"limit": str(PAGE), **(params or {})}
    while True:
        body = await client.list_page(resource, namespace=namespace, params=asked, metadata_only=metadata_only)
        page = decode(body)
        # Converted before the next page is read: parsed JSON is tens of times larger than what is kept of it.
        items += [convert(item) for item in page.get("items") or () if isinstance(item, dict)]
        metadata = page.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        if not metadata.get("continue"):
            return Listing(items, str(metadata.get("resourceVersion") or ""))
        asked["continue"] = str(metadata["continue"])
