"""What the cluster says where pods are silent: Warning events of one that hangs, and conditions of a PodGroup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from regatta.kube.client import Client
from regatta.kube.errors import NotFound
from regatta.kube.eventlog import standing_warning
from regatta.kube.resources import CORE_EVENTS, POD_GROUPS
from regatta.kube.wire import decode
from regatta.plan.model import GroupFacts, PodFacts

__all__ = ["group_facts", "latest_warnings"]

MAX_EVENTS: Final = 50


async def latest_warnings(client: Client, pods: Iterable[PodFacts]) -> dict[str, str]:
    """Message of the standing Warning event of each pod, by pod name; pods without one are left out."""
    found: dict[str, str] = {}
    for pod in pods:
        body = await client.list_page(
            CORE_EVENTS,
            namespace=pod.namespace,
            params={"fieldSelector": f"involvedObject.uid={pod.uid}", "limit": str(MAX_EVENTS)},
        )
        warning = standing_warning(decode(body).get("items") or ())
        if warning is not None:
            found[pod.name] = warning["message"]
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
