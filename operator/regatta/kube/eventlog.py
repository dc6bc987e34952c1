"""What the events about one pod say in the end: pure, shared by the operator and the command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from regatta.kube.records import version_number

__all__ = ["last_told", "latest_news", "standing_warning"]

_EARLIER: Final = frozenset({"Scheduled", "FailedScheduling", "SuccessfulAttachVolume"})
"""Events of before the kubelet had the pod, or beside what it does: they are no news of how it gets on."""


def latest_news(events: Iterable[Any]) -> Mapping[str, Any] | None:
    """The kubelet's latest event about a pod."""
    told = [
        event
        for event in events
        if isinstance(event, dict) and isinstance(event.get("message"), str) and event.get("reason") not in _EARLIER
    ]
    return max(told, key=_order, default=None)


def standing_warning(events: Iterable[Any]) -> Mapping[str, Any] | None:
    """The latest event of a pod where that is a warning, None once the kubelet told of progress after it.

    A volume that could not be mounted for a while and then was must not be blamed while a large image is pulled.
    """
    latest = latest_news(events)
    return latest if latest is not None and latest.get("type") == "Warning" else None


def last_told(event: Mapping[str, Any]) -> str:
    """When the event was repeated last, as RFC 3339 in UTC of whole seconds; empty where it does not say."""
    times = (
        _map(event.get("series")).get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        _map(event.get("metadata")).get("creationTimestamp"),
    )
    # Cut to whole seconds: with a fraction and without one, text does not compare as time does.
    latest = max(str(time or "")[:19] for time in times)
    return f"{latest}Z" if latest else ""


def _order(event: Mapping[str, Any]) -> tuple[str, int]:
    """Times are often whole seconds; within one, the version tells what was written later."""
    return last_told(event), version_number(str(_map(event.get("metadata")).get("resourceVersion") or ""))


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
