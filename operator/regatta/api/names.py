"""Names, labels and tokens of everything that belongs to a TrainingJob: computed, valid and short enough, always.

A job's name is a DNS label (63 characters at most), and so is every name made of it. A derived name that would be
longer keeps the beginning of the job's name and gets a hash of the whole one, so two jobs never share it by chance.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = [
    "API_VERSION",
    "FEED",
    "GROUP",
    "KIND",
    "LABEL_ATTEMPT",
    "LABEL_DOMAIN",
    "LABEL_JOB",
    "LABEL_MANAGED_BY",
    "LABEL_WORKER",
    "MANAGED_BY",
    "MAX_LABEL",
    "PLURAL",
    "SHORT_NAME",
    "TRAINER",
    "VERSION",
    "group_name",
    "is_dns_label",
    "pod_name",
    "policy_name",
    "service_name",
    "source_name",
    "token",
]

GROUP: Final = "regatta.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "TrainingJob"
PLURAL: Final = "trainingjobs"
SHORT_NAME: Final = "tj"

LABEL_DOMAIN: Final = f"{GROUP}/"
LABEL_JOB: Final = "regatta.dev/job"
LABEL_ATTEMPT: Final = "regatta.dev/attempt"
LABEL_WORKER: Final = "regatta.dev/worker"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "regatta"

TRAINER: Final = "trainer"
"""Name of the container that runs the user's program."""
FEED: Final = "feed"
"""Name of the sidecar that prepares its data."""

MAX_LABEL: Final = 63
"""Longest DNS label, host name and Kubernetes label value."""

_HASH_LENGTH: Final = 8
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def is_dns_label(text: str) -> bool:
    """Whether the text is an RFC 1123 label: what a job, a volume or a container may be called."""
    return len(text) <= MAX_LABEL and _DNS_LABEL.fullmatch(text) is not None


def pod_name(job: str, attempt: int, index: int) -> str:
    """Name and host name of one worker's pod: NAME-ATTEMPT-INDEX, distinct for every (attempt, index) of a job."""
    return _fit(job, f"-{attempt}-{index}")


def group_name(job: str, attempt: int) -> str:
    """Name of the PodGroup that holds the workers of one attempt together."""
    return _fit(job, f"-{attempt}")


def service_name(job: str) -> str:
    """Name of the job's headless Service: the job's own, or one derived from it where a Service can't have that."""
    # A Service's name starts with a letter (RFC 1035), a job's may start with a digit. The hash keeps the derived name
    # apart from that of a job which happens to be called "job-1a".
    if job[:1].isdigit():
        return _fit(f"job-{job}", f"-{_digest(job)}")
    return job


def policy_name(job: str) -> str:
    """Name of the job's NetworkPolicy."""
    return _fit(job, "-crew")


def source_name(job: str) -> str:
    """Name of the ConfigMap that carries the job's inline source."""
    return _fit(job, "-source")


def token(uid: str, attempt: int) -> str:
    """Secret shared by the launchers of one attempt; another attempt's or another job's is a different one."""
    return hashlib.sha256(f"regatta/{uid}/{attempt}".encode()).hexdigest()


def _fit(base: str, suffix: str) -> str:
    room = MAX_LABEL - len(suffix)
    if len(base) <= room:
        return base + suffix
    kept = base[: room - _HASH_LENGTH - 1].rstrip("-")
    return f"{kept}-{_digest(base)}{suffix}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
