"""The NetworkPolicy of a job: its workers talk with one another, and with nobody else but those who measure them.

A policy cannot say "the same job's pods" for all jobs at once, so each job has its own.
"""

from __future__ import annotations

from typing import Any, Final

from regatta.api import names
from regatta.plan.metadata import child_metadata
from regatta.plan.model import Create, Fence, Job
from regatta.plan.pods.feed import FEED_PORT
from regatta.plan.pods.worker import RUNTIME_PORT

__all__ = ["API_VERSION", "KIND", "network_policy"]

API_VERSION: Final = "networking.k8s.io/v1"
KIND: Final = "NetworkPolicy"
_COMPONENT: Final = "app.kubernetes.io/component"
_NAMESPACE: Final = "kubernetes.io/metadata.name"
"""The label that the API server itself puts on every namespace."""


def network_policy(job: Job, fence: Fence) -> Create:
    """Return the policy under which all pods of the job, of every attempt, live."""
    name = names.policy_name(job.name)
    ours = {"matchLabels": {names.LABEL_JOB: job.name, names.LABEL_MANAGED_BY: names.MANAGED_BY}}
    crew = [{"podSelector": ours}]
    ports = (
        (RUNTIME_PORT, FEED_PORT) if job.spec is not None and job.spec.preprocessing is not None else (RUNTIME_PORT,)
    )
    measured = [{"protocol": "TCP", "port": port} for port in ports]
    # The operator, and the pod of `helm test`.
    ours_there = {"matchExpressions": [{"key": _COMPONENT, "operator": "In", "values": ["operator", "test"]}]}
    readers = [{"namespaceSelector": _named(fence.operator_namespace), "podSelector": ours_there}]
    readers += [{"namespaceSelector": _named(namespace)} for namespace in fence.metrics_from]
    spec: dict[str, Any] = {
        "podSelector": ours,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": crew}, {"from": readers, "ports": measured}],
    }
    if not fence.egress:
        questions = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = [{"to": crew}, {"ports": questions}]
    return Create(
        kind=KIND,
        name=name,
        body={"apiVersion": API_VERSION, "kind": KIND, "metadata": child_metadata(job, name), "spec": spec},
    )


def _named(namespace: str) -> dict[str, Any]:
    return {"matchLabels": {_NAMESPACE: namespace}}
