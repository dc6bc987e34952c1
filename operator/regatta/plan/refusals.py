"""The API server's words when it does not take a child of a job, condensed, and what helps."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from regatta.api.quantity import parse_quantity
from regatta.plan.model import CreateFailure, FailureKind
from regatta.plan.words import MAX_READ, one_line

__all__ = ["STARTS_BY_ITSELF", "by_admission", "fix_in", "refusal", "written"]

_FORBIDDEN: Final = re.compile(r'[\w.]{1,80} "[^"]{0,253}" is forbidden: ')
_QUOTA: Final = re.compile(
    r"exceeded quota: (\S{1,253}), requested: (\S{1,1024}), used: (\S{1,1024}), limited: (\S{1,1024})"
)
_POLICIES: Final = ("ValidatingAdmissionPolicy '", 'admission webhook "')
_DIGITS: Final = 18
"""Numbers beyond so many digits, which no cluster has, are rounded."""
_SUFFIX: Final = re.compile(r"[numkMGTPE]i?$")

STARTS_BY_ITSELF: Final = "the job starts by itself when the quota leaves room for all of its workers"
_FIXES: Final = (
    ("must specify", "set these in spec.resources, because the namespace's quota demands them"),
    ("usage per ", "keep spec.resources within the namespace's LimitRange (kubectl describe limitrange)"),
    ("max limit to request ratio", "keep spec.resources within the namespace's LimitRange"),
    ("violates PodSecurity", "fit the podTemplate to that standard, or run the job in a namespace that allows it"),
    ("no PriorityClass", "create the PriorityClass, or correct spec.scheduling.priorityClassName"),
    ("error looking up service account", "create the ServiceAccount, or correct podTemplate.spec.serviceAccountName"),
    ("RuntimeClass", "create the RuntimeClass, or correct podTemplate.spec.runtimeClassName"),
    ("ValidatingAdmissionPolicy", "fit the job to that policy, or have its owner allow it"),
    ("denied the request", "fit the job to what that webhook demands, or have its owner allow it"),
    ("failed calling webhook", "have that webhook's service repaired"),
    ("cannot create resource", "let the operator's service account do it (Regatta's chart grants it)"),
    ("status unknown for quota", STARTS_BY_ITSELF),
)
"""What helps, by the first of these words in the API server's answer."""
_ELSE: Final = {
    FailureKind.QUOTA_EXCEEDED: STARTS_BY_ITSELF,
    FailureKind.FORBIDDEN: "have the cluster's administrator allow it, or change the job",
    FailureKind.NAMESPACE_GONE: "apply the job in a namespace that stays",
    FailureKind.TERMINATING: "it goes on by itself when that object has gone",
    FailureKind.UNAVAILABLE: "the operator tries again",
    FailureKind.INVALID: "correct the spec and apply it anew",
}


def refusal(failure: CreateFailure, *, workers: int, fitted: int) -> str:
    """What was refused and why, then, after the last semicolon, what to do; a quota with the whole job's numbers.

    `fitted` of the `workers` pods were taken before the API server refused the next.
    """
    words = _FORBIDDEN.sub("", one_line(failure.message, limit=MAX_READ), count=1)
    quota = _QUOTA.search(words)
    if quota is not None:
        numbers, fix = _numbers(quota, workers=workers, fitted=fitted)
        return f"{failure.kind} {failure.name}: {one_line(words)}{numbers}; {fix}"
    return f"{failure.kind} {failure.name}: {one_line(words)}; {_fix(failure, words)}"


def fix_in(message: str) -> tuple[str, str]:
    """Split a message that `refusal` made into what happened and what to do."""
    what, _, fix = message.rpartition("; ")
    return (what, fix) if what else (message, "")


def by_admission(failure: CreateFailure) -> bool:
    """Whether a policy of the cluster refused the object: it may change its mind, whatever code it answers with."""
    return any(policy in failure.message for policy in _POLICIES)


def _fix(failure: CreateFailure, words: str) -> str:
    if failure.failure is FailureKind.NAME_TAKEN:
        return f"delete that {failure.kind} or give the job another name"
    return next((fix for known, fix in _FIXES if known in words), _ELSE[failure.failure])


def _numbers(quota: re.Match[str], *, workers: int, fitted: int) -> tuple[str, str]:
    """What the whole job needs of each exceeded resource and what the quota leaves for it, and what helps."""
    requested, used, limited = (_pairs(quota[group]) for group in (2, 3, 4))
    parts, enough = [], True
    for resource, each in requested.items():
        try:
            per = parse_quantity(each)
            limit = parse_quantity(limited[resource])
            others = parse_quantity(used[resource]) - per * fitted
        except (KeyError, ValueError):
            continue
        left = limit - max(others, Decimal(0))
        like = limited[resource]
        enough = enough and per * workers <= limit
        parts.append(
            f"the job needs {workers} x {each} = {written(per * workers, like=like)} {resource}, "
            f"the quota leaves it {written(left, like=like)} of {like}"
        )
    if not parts:
        return "", STARTS_BY_ITSELF
    numbers = "; " + one_line("; ".join(parts))
    if enough:
        return numbers, f"raise the quota, ask for less, or wait: {STARTS_BY_ITSELF}"
    return numbers, "raise the quota or ask for less, because all of it would not suffice"


def _pairs(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split(",")) if value}


def written(value: Decimal, *, like: str) -> str:
    """The number in the unit of another quantity, where that is not longer."""
    found = _SUFFIX.search(like)
    if found is not None:
        scaled = value / parse_quantity(f"1{found[0]}")
        if scaled == round(scaled, 3):
            return f"{_plain(scaled)}{found[0]}"
    return _plain(value)


def _plain(value: Decimal) -> str:
    if value and not -_DIGITS < value.adjusted() < _DIGITS:
        return f"{value:.3g}"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
