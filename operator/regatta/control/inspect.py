"""What the cluster says where pods are silent: Warning events of one that hangs, and conditions of a PodGroup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from regatta.kube.client import Client
from regatta.kube.errors import NotFound
from regatta.kube.eventlog import standing_warning
from regatta.kube.records import group_facts
from regatta.kube.resources import CORE_EVENTS, POD_GROUPS
from regatta.kube.wire import decode
from regatta.plan.model import GroupFacts, PodFacts

__all__ = ["latest_warnings", "read_group"]

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


async def read_group(client: Client, *, namespace: str, name: str) -> GroupFacts | None:
    """What the scheduler says of a PodGroup; None when there is no such PodGroup."""
    try:
        return group_facts(await client.get(POD_GROUPS, namespace=namespace, name=name))
    except NotFound:
        return None
