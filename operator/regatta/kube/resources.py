"""The kinds the operator talks about, and where each lives in the API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from regatta.api import names

__all__ = [
    "CONFIG_MAPS",
    "CORE_EVENTS",
    "EVENTS",
    "LEASES",
    "NETWORK_POLICIES",
    "PODS",
    "POD_GROUPS",
    "SERVICES",
    "TRAINING_JOBS",
    "Resource",
    "by_kind",
]

# Names come from objects of users. The API server only hands out valid ones, yet nothing unchecked becomes a path.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._:]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Resource:
    """One namespaced kind of object."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"

    @property
    def api_version(self) -> str:
        """What the object's apiVersion says."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def api_root(self) -> str:
        """Path of the group and version, as discovery serves it."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, *, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection (all namespaces when None), of an object, or of its subresource."""
        parts = [self.api_root]
        if namespace is not None:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        if name is not None:
            parts.append(_segment(name))
        if subresource is not None:
            parts.append(_segment(subresource))
        return "/".join(parts)


PODS: Final = Resource("Pod", "pods")
POD_GROUPS: Final = Resource("PodGroup", "podgroups", "scheduling.k8s.io", "v1beta1")
"""Gangs as kube-scheduler knows them."""
SERVICES: Final = Resource("Service", "services")
CONFIG_MAPS: Final = Resource("ConfigMap", "configmaps")
EVENTS: Final = Resource("Event", "events", "events.k8s.io")
"""Events as we write them."""
CORE_EVENTS: Final = Resource("Event", "events")
"""The same events in their older form, which can be selected by the object they are about."""
LEASES: Final = Resource("Lease", "leases", "coordination.k8s.io")
NETWORK_POLICIES: Final = Resource("NetworkPolicy", "networkpolicies", "networking.k8s.io")
TRAINING_JOBS: Final = Resource(names.KIND, names.PLURAL, names.GROUP, names.VERSION)

_BY_KIND: Final = {
    resource.kind: resource
    for resource in (PODS, POD_GROUPS, SERVICES, CONFIG_MAPS, NETWORK_POLICIES, EVENTS, LEASES, TRAINING_JOBS)
}


def by_kind(kind: str) -> Resource:
    """The resource of a kind that plans may name; KeyError for any other."""
    return _BY_KIND[kind]


def _segment(text: str) -> str:
    if not _SEGMENT.fullmatch(text):
        raise ValueError(f"{text!r} can't be part of an API path")
    return text
