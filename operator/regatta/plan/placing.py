"""The scheduler's words about a pod that no node takes, condensed: how many nodes, for which reason, what helps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from regatta.api.spec import TrainingJobSpec
from regatta.plan.words import one_line

__all__ = ["Placing", "claims", "placing"]

_NODES: Final = re.compile(r"0/(\d{1,7}) nodes are available: ")
_COUNTED: Final = re.compile(r"(\d{1,7}) (.+)")
_MISSING_CLAIM: Final = re.compile(r'persistentvolumeclaim "([^"]{1,253})" (not found|is being deleted)')
_GROUP: Final = re.compile(r"minCount \((\d{1,7})\) cannot be satisfied: (\d{1,7}) scheduled")
_INSUFFICIENT: Final = "Insufficient "
_UNBOUND: Final = "unbound immediate PersistentVolumeClaims"

_FIXES: Final = (
    ("persistent volumes to bind", "provide a PersistentVolume that fits, or correct the claim's storageClassName"),
    ("volume node affinity conflict", "let the job use nodes where the volume is, or use a volume that is everywhere"),
    ("max volume count", "use fewer volumes, or wait"),
    ("persistentvolumeclaim", "repair or replace the volume claim"),
    ("pod anti-affinity", "correct spec.scheduling.affinity, or add nodes"),
    ("anti-affinity rules", "wait for the pods that forbid it, or add nodes"),
    ("pod affinity rules", "correct spec.scheduling.affinity"),
    ("topology spread", "correct the podTemplate's topologySpreadConstraints, or add nodes"),
    ("free ports", "ask for no host port in the podTemplate"),
    ("Too many pods", "wait until pods end, or add nodes"),
    ("affinity/selector", "correct spec.scheduling.nodeSelector or affinity, or label a node"),
    ("were unschedulable", "let the cordoned nodes take pods again: kubectl uncordon NODE"),
    ("node.kubernetes.io/un", "bring the nodes back, or add others"),
    ("node.kubernetes.io/not-ready", "bring the nodes back, or add others"),
    ("untolerated taint", "tolerate the taint in spec.scheduling.tolerations, or add nodes without it"),
)
"""What helps, by the first of these words that the scheduler used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Why no node takes a pod."""

    what: str
    fix: str
    lacking: tuple[str, ...] = ()
    """Resources of which no node has enough left."""
    hopeless: bool = False
    """Whether they would not suffice on any node even if it were empty."""
    missing_claim: str = ""
    """The volume claim that does not exist, where that is the reason."""
    fitting: tuple[int, int] | None = None
    """How many pods of a gang would find room and how many must; then another pod of it has the reason."""


def placing(words: str, *, spec: TrainingJobSpec | None) -> Placing:
    """Condense the message of a PodScheduled condition that is False; words that are not known are repeated."""
    text = one_line(words, limit=2048)
    group = _GROUP.search(text)
    if group is not None:
        must, fit = int(group[1]), int(group[2])
        return Placing(
            what=f"only {fit} of the {must} workers that must start together find room",
            fix="add nodes, wait until others end, or ask for less",
            fitting=(fit, must),
        )
    claim = _MISSING_CLAIM.search(text)
    if claim is not None:
        what = "does not exist" if claim[2] == "not found" else claim[2]
        return Placing(
            what=f"the volume claim {claim[1]} {what}",
            fix=f"create the PersistentVolumeClaim {claim[1]} in the job's namespace, or correct the claimName",
            missing_claim=claim[1],
        )
    if _UNBOUND in text:
        named = ", ".join(claims(spec)) or "of the job"
        return Placing(
            what=f"a volume claim has no volume yet ({named})",
            fix="kubectl describe pvc says what its storage class waits for",
        )
    nodes = _NODES.match(text)
    if nodes is None:
        return Placing(what=one_line(text), fix=_fix(text) or "add nodes, or ask for less")
    reasons, _, preemption = text[nodes.end() :].partition("preemption: ")
    reasons = reasons.removesuffix(" ").removesuffix("no new claims to deallocate,").rstrip(" .")
    total = int(nodes[1])
    told = [_told(reason, total=total) for reason in reasons.split(", ")]
    lacking = tuple(
        dict.fromkeys(
            reason.partition(_INSUFFICIENT)[2].rstrip(".") for reason in reasons.split(", ") if _INSUFFICIENT in reason
        )
    )
    hopeless = bool(lacking) and _never_helpful(preemption, total=total)
    what = one_line(", ".join(told))
    if hopeless:
        what += "; no node would suffice even if it were empty"
    elif lacking and "No preemption victims" in preemption:
        what += "; other pods use what there is"
    return Placing(
        what=what,
        fix=_room(lacking, spec=spec, hopeless=hopeless) if lacking else _fix(reasons) or "add nodes, or ask for less",
        lacking=lacking,
        hopeless=hopeless,
    )


def claims(spec: TrainingJobSpec | None) -> tuple[str, ...]:
    """Names of the volume claims that a job's pods mount."""
    return () if spec is None else tuple(dict.fromkeys(_claims(spec)))


def _claims(spec: TrainingJobSpec) -> Iterator[str]:
    overlay = spec.pod_template.get("spec") or {}
    volumes: list[Any] = [*spec.volumes, *(overlay.get("volumes") or ())]
    if spec.checkpoint is not None:
        volumes.insert(0, spec.checkpoint.volume)
    for volume in volumes:
        claim = volume.get("persistentVolumeClaim") if isinstance(volume, Mapping) else None
        name = claim.get("claimName") if isinstance(claim, Mapping) else None
        if isinstance(name, str) and name:
            yield name


def _told(reason: str, *, total: int) -> str:
    counted = _COUNTED.fullmatch(reason)
    if counted is None:
        return reason
    nodes = f"{counted[1]} of {total} nodes"
    if counted[2].startswith("node(s) "):
        return f"{nodes} {counted[2].removeprefix('node(s) ')}"
    return f"{counted[2]} on {nodes}"


def _never_helpful(preemption: str, *, total: int) -> bool:
    """Whether the scheduler says of every node that evicting all its pods would not help."""
    text = preemption.partition("nodes are available: ")[2]
    counts = [_COUNTED.fullmatch(part.rstrip(" .")) for part in text.split(", ")]
    return any(
        counted is not None and int(counted[1]) == total and "Preemption is not helpful" in counted[2]
        for counted in counts
    )


def _room(lacking: Sequence[str], *, spec: TrainingJobSpec | None, hopeless: bool) -> str:
    gpus = lacking if spec is None else [spec.gpu_resource]
    fields = " and ".join(
        dict.fromkeys("spec.gpusPerWorker" if "/" in name and name in gpus else "spec.resources" for name in lacking)
    )
    if hopeless:
        return f"ask for less per worker in {fields}, or add larger nodes"
    return f"wait until others end, ask for less in {fields}, or add nodes"


def _fix(text: str) -> str:
    return next((fix for words, fix in _FIXES if words in text), "")
