"""What the operator asked of the API server, by the audit log of the tests' own cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.cluster.kit import release
from tests.cluster.tool import api as tool

__all__ = ["Right", "denied", "used"]

Right = tuple[str, str]
"""A resource, with its group and subresource, and a verb."""


def used(account: str = release.RELEASE) -> set[Right]:
    """Every right that an account of the release's namespace has used since the cluster is up."""
    return {_right(entry) for entry in _entries(account)}


def denied(account: str = release.RELEASE, *, since: str = "") -> set[Right]:
    """What it asked for and was refused for want of a right, since a moment as Kubernetes writes it."""
    return {
        _right(entry)
        for entry in _entries(account)
        if entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
        and entry["stageTimestamp"].rstrip("Z") >= since.rstrip("Z")
    }


def _entries(account: str) -> Iterator[dict[str, Any]]:
    """Requests about objects; discovery and versions are anybody's to read."""
    user = f"system:serviceaccount:{release.NAMESPACE}:{account}"
    with tool.audit_log().open() as lines:
        for line in lines:
            try:
                entry: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line, half written
            if "objectRef" in entry and entry["user"]["username"] == user:
                yield entry


def _right(entry: dict[str, Any]) -> Right:
    about = entry["objectRef"]
    parts = (about.get("apiGroup", ""), about["resource"], about.get("subresource", ""))
    return "/".join(part for part in parts if part), entry["verb"]
