"""Room on nodes that one test has for itself: an extended resource that only it knows."""

from __future__ import annotations

import uuid
from typing import Any

from tests.cluster.kit.api import Api

__all__ = ["Slots"]


class Slots:
    """An extended resource of its own, so that these tests share no room with others."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.resource = f"example.com/slot-{uuid.uuid4().hex[:6]}"
        self._nodes = sorted(node["metadata"]["name"] for node in api.list("nodes") if _takes_pods(node))

    def offer(self, *counts: int) -> None:
        """Give the first nodes so many slots."""
        for node, count in zip(self._nodes, counts, strict=False):
            self._patch(node, str(count))

    def clear(self) -> None:
        for node in self._nodes:
            self._patch(node, None)

    def _patch(self, node: str, count: str | None) -> None:
        body = {"status": {"capacity": {self.resource: count}, "allocatable": {self.resource: count}}}
        path = self._api.path("nodes", name=node) + "/status"
        self._api.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def _takes_pods(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    return (
        any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        and "kwok" not in node["metadata"]["name"]
    )
