"""What around a job hinders it or explains what does: the operator, the nodes, the quotas, the gang."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from regatta.api.quantity import parse_quantity
from regatta.api.status import TrainingJobStatus
from regatta.cli.chain import Link
from regatta.cli.facts import Facts, requests_of
from regatta.cli.installed import Operator
from regatta.cli.text import one_line, parse_time, span
from regatta.plan.refusals import written

__all__ = ["absent_everywhere", "group_links", "node_links", "operator_obstacle", "quota_links"]

PATIENCE: Final = 15.0
"""Seconds an operator may take to notice a job or a change of it."""
LEASE_GRACE: Final = 30.0
"""Seconds beyond its duration for which a lease may look expired: the clocks of two machines differ."""


def operator_obstacle(facts: Facts, status: TrainingJobStatus, *, now: datetime) -> tuple[str, str] | None:
    """What keeps the operator from looking after this job and what to do, None while nothing is known to."""
    metadata = facts.job.get("metadata") or {}
    found = facts.operators
    if found is not None:
        if not found:
            return "no operator is installed in this cluster", "install Regatta's chart"
        namespace = str(metadata.get("namespace") or "")
        serving = [operator for operator in found if not operator.namespaces or namespace in operator.namespaces]
        if not serving:
            return (
                f"the operator does not serve namespace {namespace} but {', '.join(sorted(found[0].namespaces))}",
                "add it to the chart's watchNamespaces, or apply the job in one of those",
            )
        if not any(operator.ready for operator in serving):
            first = serving[0]
            return (
                f"no pod of the operator {first.namespace}/{first.name} is ready",
                f"kubectl -n {first.namespace} get pods, and kubectl -n {first.namespace} logs deployment/{first.name}",
            )
        expired = _expired(facts.lease, now=now)
        if expired is not None:
            return expired, f"kubectl -n {serving[0].namespace} logs deployment/{serving[0].name}"
    look = _log_of(found)
    created = parse_time(metadata.get("creationTimestamp"))
    if status.phase is None and created is not None and (now - created).total_seconds() > PATIENCE:
        waited = span((now - created).total_seconds())
        return f"no operator has looked at the job for {waited}", look
    generation, seen = metadata.get("generation"), status.observed_generation
    pausing = status.next_try_time is not None and status.next_try_time > now
    if status.phase is not None and isinstance(generation, int) and seen is not None and seen < generation:
        changed = _spec_changed(metadata)
        if not pausing and (changed is None or (now - changed).total_seconds() > PATIENCE):
            return f"the operator has not taken up the latest spec (generation {generation}; it saw {seen})", look
    return None


def group_links(groups: Sequence[Mapping[str, Any]]) -> Iterator[Link]:
    """The job's PodGroups, each with what the scheduler says of it."""
    for group in groups:
        name = one_line((group.get("metadata") or {}).get("name", ""))
        policy = ((group.get("spec") or {}).get("schedulingPolicy") or {}).get("gang") or {}
        count = policy.get("minCount")
        at_once = f", needs {one_line(count)} pods at once" if count is not None else ""
        conditions = (group.get("status") or {}).get("conditions") or ()
        said = (
            Link("condition", f"{_words(condition, 'type')}={_words(condition, 'status')}{_because(condition)}")
            for condition in conditions
            if isinstance(condition, Mapping)
        )
        yield Link("group", f"PodGroup {name}{at_once}", tuple(said))


def node_links(
    nodes: Sequence[Mapping[str, Any]] | None, pod: Mapping[str, Any], lacking: Sequence[str]
) -> Iterator[Link]:
    """What a worker asks for of each lacking resource, and what the nodes have in all."""
    if nodes is None:
        return
    for resource in lacking:
        having = [node for node in nodes if _offered(node, resource)]
        if not having:
            yield Link("nodes", f"none of {len(nodes)} nodes has {resource}")
            continue
        best = max(having, key=lambda node: _offered(node, resource))
        most = one_line(best["status"]["allocatable"][resource])
        asked = sum((_quantity(amount) for name, amount in requests_of(pod) if name == resource), start=Decimal(0))
        yield Link(
            "nodes",
            f"{resource}: a worker asks for {written(asked, like=most)}; {len(having)} of {len(nodes)} nodes have it, "
            f"the largest ({one_line(best['metadata']['name'])}) {most} when nothing runs on it",
        )


def absent_everywhere(facts: Facts, lacking: Sequence[str]) -> str:
    """The first of these resources that not one node has; empty where there is none such, or no node could be read."""
    for resource in lacking:
        if facts.nodes and not any(_offered(node, resource) for node in facts.nodes):
            return resource
    return ""


def quota_links(quotas: Sequence[Mapping[str, Any]] | None) -> Iterator[Link]:
    """The namespace's quotas as they are used now."""
    for quota in quotas or ():
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        parts = [f"{name} {used.get(name, '0')} of {limit}" for name, limit in sorted(hard.items())]
        yield Link("quota", f"quota {one_line(quota['metadata']['name'])} now: {', '.join(parts) or 'not counted yet'}")


def _expired(lease: Mapping[str, Any] | None, *, now: datetime) -> str | None:
    spec = (lease or {}).get("spec") or {}
    renewed, duration = parse_time(spec.get("renewTime")), spec.get("leaseDurationSeconds")
    if renewed is None or not isinstance(duration, int):
        return None
    age = (now - renewed).total_seconds()
    if age <= duration + LEASE_GRACE:
        return None
    return f"no operator leads: the lease was renewed {span(age)} ago, and what the status says may be old"


def _spec_changed(metadata: Mapping[str, Any]) -> datetime | None:
    """When somebody wrote the object itself last; the operator writes its status alone."""
    times = [
        parse_time(entry.get("time"))
        for entry in metadata.get("managedFields") or ()
        if isinstance(entry, Mapping) and not entry.get("subresource")
    ]
    return max((time for time in times if time is not None), default=None)


def _log_of(found: Sequence[Operator] | None) -> str:
    if not found:
        return "check that the operator runs and serves this namespace (regatta version)"
    return f"look at its log: kubectl -n {found[0].namespace} logs deployment/{found[0].name}"


def _offered(node: Mapping[str, Any], resource: str) -> Decimal:
    return _quantity(((node.get("status") or {}).get("allocatable") or {}).get(resource))


def _quantity(value: object) -> Decimal:
    try:
        return parse_quantity(str(value))
    except ValueError:
        return Decimal(0)


def _words(condition: Mapping[str, Any], key: str) -> str:
    return one_line(condition.get(key) or "", width=80)


def _because(condition: Mapping[str, Any]) -> str:
    words = ": ".join(filter(None, (_words(condition, "reason"), one_line(condition.get("message") or "", width=300))))
    return f" ({words})" if words else ""
