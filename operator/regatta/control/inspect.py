"""What the cluster says about a pod that hangs and whose own status is silent: its Warning events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from regatta.kube.client import Client
from regatta.kube.resources import CORE_EVENTS
from regatta.kube.wire import decode
from regatta.plan.model import PodFacts

__all__ = ["latest_warnings"]

MAX_EVENTS: Final = 50


async def latest_warnings(client: Client, pods: Iterable[PodFacts]) -> dict[str, str]:
    """Message of the latest Warning event of each pod, by pod name; pods without one are left out."""
    found: dict[str, str] = {}
    for pod in pods:
        selector = f"involvedObject.uid={pod.uid},type=Warning"
        body = await client.list_page(
            CORE_EVENTS, namespace=pod.namespace, params={"fieldSelector": selector, "limit": str(MAX_EVENTS)}
        )
        events = [event for event in decode(body).get("items") or () if isinstance(event.get("message"), str)]
        if events:
            found[pod.name] = max(events, key=_last_seen)["message"]
    return found


def _last_seen(event: dict[str, Any]) -> str:
    """Time of the event's latest repetition: all forms are RFC 3339 in UTC, so text compares as time does."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return max(str(time or "") for time in times)
