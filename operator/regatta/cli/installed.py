"""What is installed in the cluster: the operator's deployments, the CRD, and how they are set up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import regatta
from regatta.api import crd
from regatta.cli.cluster import Cluster
from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.text import one_line
from regatta.plan.model import Installation

__all__ = ["Operator", "installed_settings", "operators", "operators_everywhere", "version_lines"]

_SELECTOR: Final = "app.kubernetes.io/name=regatta"
_VERSION: Final = "app.kubernetes.io/version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One deployment of the operator."""

    namespace: str
    name: str
    version: str
    image: str
    ready: int
    desired: int
    environment: Mapping[str, str]

    @property
    def namespaces(self) -> frozenset[str]:
        """Namespaces that it serves; empty for all."""
        text = self._setting("NAMESPACES")
        return frozenset(name.strip() for name in text.split(",") if name.strip())

    @property
    def lease(self) -> str:
        """Name of the Lease by which its leader is known, empty where it elects none."""
        return "" if self._setting("LEADER_ELECTION").lower() == "false" else self._setting("LEASE_NAME")

    @property
    def installation(self) -> Installation:
        """Its images, as far as its environment tells them."""
        images = (pair.partition("=") for pair in self._setting("FRAMEWORK_IMAGES").split(","))
        return Installation(
            runtime_image=self._setting("RUNTIME_IMAGE"),
            operator_image=self._setting("OPERATOR_IMAGE"),
            feed_image=self._setting("FEED_IMAGE"),
            framework_images={framework: image for framework, _, image in images if image},
        )

    def _setting(self, name: str) -> str:
        return one_line(self.environment.get(f"REGATTA_OPERATOR_{name}", ""))


def operators_everywhere(cluster: Cluster) -> list[Operator]:
    """All operators of the cluster; raises `ClusterError` where looking at all namespaces is not allowed."""
    found = cluster.get("/apis/apps/v1/deployments", query={"labelSelector": _SELECTOR})
    return [_operator(deployment) for deployment in found["items"]]


def operators(cluster: Cluster) -> list[Operator]:
    """All operators of the cluster, or of the namespace where looking at all is not allowed."""
    try:
        return operators_everywhere(cluster)
    except ClusterError:
        found = cluster.get(
            f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments", query={"labelSelector": _SELECTOR}
        )
    return [_operator(deployment) for deployment in found["items"]]


def installed_settings(cluster: Cluster) -> Installation:
    """Images and abilities that the cluster's operator gives to jobs; raises `ClusterError` without exactly one."""
    from regatta.control.settings import installation, parse, serves
    from regatta.kube.resources import POD_GROUPS

    found = operators(cluster)
    if len(found) != 1:
        where = ", ".join(f"{operator.namespace}/{operator.name}" for operator in found) or "none"
        raise ClusterError(f"the cluster has not one operator but {len(found)} ({where}); leave --from-cluster out")
    settings = parse([], environment=found[0].environment)
    return installation(
        settings,
        version=cluster.get("/version"),
        pod_groups=serves(_discovered(cluster, POD_GROUPS.api_root), POD_GROUPS.plural),
        namespace=found[0].namespace,
    )


def _discovered(cluster: Cluster, path: str) -> Mapping[str, Any]:
    """What the API server says at the path of a group and version; nothing where it serves none."""
    try:
        return cluster.get(path)
    except NotFoundError:
        return {}


def version_lines(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """What runs in the cluster, as names and versions; an answer that is not allowed is said, not raised."""
    yield "Kubernetes", one_line(cluster.get("/version").get("gitVersion", "unknown"))
    try:
        definition = cluster.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd.NAME}")
    except NotFoundError:
        yield "CRD", "not installed; install Regatta's chart"
    except ClusterError as error:
        yield "CRD", f"unknown ({error})"
    else:
        yield "CRD", _definition(definition)
    try:
        found = operators(cluster)
    except ClusterError as error:
        yield "Operator", f"unknown ({error})"
        return
    if not found:
        yield "Operator", "not installed; install Regatta's chart"
    for operator in found:
        ready = f"{operator.ready} of {operator.desired} ready"
        yield "Operator", f"{operator.version} ({operator.namespace}/{operator.name}, {operator.image}, {ready})"


def _definition(definition: Mapping[str, Any]) -> str:
    version = (definition["metadata"].get("annotations") or {}).get(crd.VERSION_ANNOTATION, "unknown")
    served = ", ".join(entry["name"] for entry in definition["spec"]["versions"] if entry.get("served"))
    hint = "" if version == regatta.__version__ else f"; this command knows {regatta.__version__}"
    return one_line(f"{version} (serves {served}){hint}")


def _operator(deployment: Mapping[str, Any]) -> Operator:
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
    container: Mapping[str, Any] = (spec["template"]["spec"].get("containers") or [{}])[0]
    labels = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    return Operator(
        namespace=one_line(metadata["namespace"]),
        name=one_line(metadata["name"]),
        version=one_line(labels.get(_VERSION, "unknown")),
        image=one_line(container.get("image", "")),
        ready=int(status.get("readyReplicas") or 0),
        desired=int(spec.get("replicas") or 0),
        environment={
            entry["name"]: entry["value"] for entry in container.get("env") or () if entry.get("value") is not None
        },
    )
