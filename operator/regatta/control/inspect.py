"""What the cluster says where pods are silent: Warning events of one that hangs, and conditions of a PodGroup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from regatta.kube.client import Client
from regatta.kube.errors import NotFound
from regatta.kube.resources import CORE_EVENTS, POD_GROUPS
from regatta.kube.wire import decode
from regatta.plan.model import GroupFacts, PodFacts

__all__ = ["group_facts", "latest_warnings"]

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


async def group_facts(client: Client, *, namespace: str, name: str) -> GroupFacts | None:
    """What the scheduler says of a PodGroup that it has not scheduled; None when there is no such PodGroup."""
    try:
        group = await client.get(POD_GROUPS, namespace=namespace, name=name)
    except NotFound:
        return None
    for condition in (group.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodGroupInitiallyScheduled" and condition.get("status") == "False":
            return GroupFacts(
                name=name, reason=str(condition.get("reason") or ""), message=str(condition.get("message") or "")
            )
    return GroupFacts(name=name)


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
