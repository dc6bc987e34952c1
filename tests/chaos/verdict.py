"""The judgement over a campaign: what the API server and the machine show, against what was done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.campaign import Subject

__all__ = ["OPERATOR", "Verdict", "counted", "judge", "left_running", "story"]

OPERATOR: Final = "the operator"
"""What wrongs are about that are no job's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found wrong, by what it is about; empty when all is well."""

    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether everything is as it must be."""
        return not self.wrong


def judge(
    subjects: Iterable[Subject],
    *,
    pods: Mapping[tuple[str, str, str], set[str]],
    running: Mapping[str, list[str]],
    mistakes: Sequence[str] = (),
) -> Verdict:
    """Compare each job's status with its books; `pods` are all uids ever seen by job, attempt and worker.

    `running` are living processes of jobs, by job; `mistakes` what the operator logged of its own failures.
    """
    wrong: dict[str, list[str]] = {OPERATOR: list(mistakes)} if mistakes else {}
    for subject in subjects:
        found = subject.account.mismatches(subject.status)
        found += [
            f"worker {worker} of attempt {attempt} had {len(uids)} pods: {sorted(uids)}"
            for (name, attempt, worker), uids in pods.items()
            if name == subject.name and len(uids) > 1
        ]
        seen = {(int(attempt), int(worker)) for name, attempt, worker in pods if name == subject.name}
        last = subject.status.get("attempt", 0)
        unknown = sorted({attempt for attempt, _ in seen} - set(range(1, last + 1)))
        found += [f"attempt {attempt} had pods and is not in the status" for attempt in unknown]
        missing = sorted(set(range(subject.plan.workers)) - {worker for attempt, worker in seen if attempt == last})
        if missing:
            found.append(f"workers {missing} of attempt {last} never had a pod")
        if subject.name in running:
            found.append(f"still runs: {'; '.join(running[subject.name])}")
        if found:
            wrong[subject.name] = found
    return Verdict(wrong=wrong)


def left_running(namespace: str) -> dict[str, list[str]]:
    """Living processes of the namespace's training containers on this machine, by job, whoever knows of them."""
    found: dict[str, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if environment.get("REGATTA_NAMESPACE") == namespace and command:
            found.setdefault(environment["REGATTA_JOB"], []).append(f"{entry.name} {command[:60]}")
    return found


def counted(subjects: Iterable[Subject]) -> tuple[Counter[str], Counter[str]]:
    """Failures of all jobs by cause: as the books have them, and as the statuses count them."""
    booked: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for subject in subjects:
        booked.update("|".join(sorted(causes)) for causes in subject.account.failures)
        told.update(subject.status.get("failureCounts", {}))
    return booked, told


def story(subject: Subject, wrong: Iterable[str], lines: Iterable[str]) -> str:
    """Everything about one job, for whoever has to find out what went wrong with it."""
    status: dict[str, Any] = subject.status
    return "\n".join(
        (
            f"=== {subject.name} ({subject.plan.kind})",
            *(f"  WRONG: {each}" for each in wrong),
            "  done to it:",
            *(f"    {each}" for each in subject.history),
            "  status: " + json.dumps(status),
            "  operator:",
            *(f"    {line}" for line in lines),
        )
    )
