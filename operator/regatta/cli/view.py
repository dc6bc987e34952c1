"""`regatta status NAME`: one job in full, as lines of text, from the job's JSON and that of its pods."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from regatta.api import names
from regatta.api.status import Failure, FailureAction, Phase, Progress, TrainingJobStatus
from regatta.cli.text import bar, clean, columns, one_line, parse_time, span

__all__ = ["Style", "job_lines", "progress_line"]

MAX_WORKERS_SHOWN: Final = 20
_BAR: Final = 24
_NAME: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How wide lines may be, and whether they may hold more than ASCII."""

    width: int = 80
    ascii_only: bool = False


def job_lines(
    job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], *, now: datetime, style: Style, everything: bool = False
) -> Iterator[str]:
    """The job's state, its workers and its failures."""
    status = TrainingJobStatus.from_api(job.get("status"))
    spec = job.get("spec") or {}
    yield from _state(job, status, spec=spec, now=now, style=style)
    workers = _workers(pods, status=status)
    if workers:
        yield ""
        shown = workers if everything else workers[:MAX_WORKERS_SHOWN]
        yield from columns([("WORKER", "POD", "NODE", "PHASE", "JOINED"), *(row for _, row in shown)])
        if len(shown) < len(workers):
            yield f"... and {len(workers) - len(shown)} more; --all shows them"
    if status.failures:
        yield ""
        yield from _failures(status, now=now, style=style)


def progress_line(progress: Progress, *, style: Style) -> str:
    """Bar, steps and time left, as far as they are known."""
    parts = []
    if progress.fraction is not None:
        parts.append(f"{bar(progress.fraction, width=_BAR, ascii_only=style.ascii_only)} {progress.summary}")
    if progress.step is not None:
        of = "" if progress.total_steps is None else f"/{progress.total_steps}"
        parts.append(f"step {progress.step}{of}")
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch:g}")
    if progress.eta_seconds is not None:
        parts.append(f"{span(progress.eta_seconds)} left")
    return "  ".join(parts)


def _state(
    job: Mapping[str, Any], status: TrainingJobStatus, *, spec: Mapping[str, Any], now: datetime, style: Style
) -> Iterator[str]:
    metadata = job["metadata"]
    yield _field("Job", f"{one_line(metadata.get('namespace', ''))}/{one_line(metadata['name'])}")
    if status.phase is None:
        yield _field("Phase", "not taken up yet")
        yield from _wrapped("", _silence(metadata, now=now), style=style)
        return
    yield _field("Phase", f"{status.phase} ({one_line(status.reason)})" if status.reason else str(status.phase))
    if status.message:
        yield from _wrapped("Message", status.message, style=style)
    if status.next_try_time is not None and not status.phase.terminal:
        yield _field("Next try", f"in {span((status.next_try_time - now).total_seconds())}")
    used = f"{status.restarts_used} of {(spec.get('restart') or {}).get('maxRestarts', 3)} restarts used"
    yield _field("Attempt", f"{status.attempt}, {used}" if status.attempt else "none yet")
    counts = status.workers
    others = ((counts.succeeded, "succeeded"), (counts.failed, "failed"))
    further = "".join(f", {count} {what}" for count, what in others if count)
    yield _field("Workers", f"{counts.ready} of {counts.desired} training{further}")
    if status.progress is not None:
        ended = {"eta_seconds": None} if status.phase.terminal else {}
        yield _field("Progress", progress_line(status.progress.model_copy(update=ended), style=style))
    if status.efficiency:
        measured = (f"{one_line(name)} {value:.4g}" for name, value in sorted(status.efficiency.items()))
        yield from _wrapped("Efficiency", ", ".join(measured), style=style)
    yield _field("Time", _times(status, now=now))
    if status.phase is Phase.FAILED:
        yield from _wrapped("Look", f"regatta logs {one_line(metadata['name'])}", style=style)


def _silence(metadata: Mapping[str, Any], *, now: datetime) -> str:
    created = parse_time(metadata.get("creationTimestamp"))
    if created is None or (now - created).total_seconds() < 15:
        return "the operator has not looked at it so far"
    return (
        f"nobody has looked at it for {span((now - created).total_seconds())}: check that the operator runs and serves "
        "this namespace (regatta version)"
    )


def _times(status: TrainingJobStatus, *, now: datetime) -> str:
    start, end = status.start_time, status.completion_time
    if start is None:
        return "not started"
    text = f"started {span((now - start).total_seconds())} ago"
    if end is not None:
        return f"{text}, took {span((end - start).total_seconds())}"
    if status.running_since is not None:
        text += f", running for {span((now - status.running_since).total_seconds())}"
    return text


def _workers(
    pods: Sequence[Mapping[str, Any]], *, status: TrainingJobStatus
) -> list[tuple[tuple[bool, int], tuple[str, ...]]]:
    """Rows for the pods of the newest attempt; those that have not joined come first."""
    rows = []
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        if labels.get(names.LABEL_ATTEMPT) != str(status.attempt):
            continue
        worker, state = labels.get(names.LABEL_WORKER, ""), pod.get("status") or {}
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in state.get("conditions") or ())
        phase = "Terminating" if pod["metadata"].get("deletionTimestamp") else state.get("phase", "")
        row = (
            one_line(worker),
            one_line(pod["metadata"]["name"]),
            one_line((pod.get("spec") or {}).get("nodeName", "")),
            one_line(_waiting(state) or phase),
            "yes" if ready else "no",
        )
        rows.append(((ready, int(worker) if worker.isascii() and worker.isdigit() else -1), row))
    return sorted(rows)


def _waiting(state: Mapping[str, Any]) -> str:
    """Why a container waits, which says more than the pod's phase."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in state.get(kind) or ():
            reason = ((container.get("state") or {}).get("waiting") or {}).get("reason", "")
            if reason and reason != "PodInitializing":
                return str(reason)
    return ""


def _failures(status: TrainingJobStatus, *, now: datetime, style: Style) -> Iterator[str]:
    counts = ", ".join(f"{one_line(cause)} {count}" for cause, count in sorted(status.failure_counts.items()))
    yield f"Failures{f' ({counts})' if counts else ''}, newest last:"
    rows = [
        (
            str(failure.attempt),
            failure.cause.value,
            "" if failure.exit_code is None else str(failure.exit_code),
            one_line(failure.pod),
            one_line(failure.node),
            span((now - failure.at).total_seconds()),
        )
        for failure in status.failures
    ]
    head, *lines = columns([("ATTEMPT", "CAUSE", "EXIT", "POD", "NODE", "AGO"), *rows])
    yield head
    for line, failure in zip(lines, status.failures, strict=True):
        yield line
        told = "; ".join(filter(None, (one_line(failure.message), _done_about(failure))))
        yield from textwrap.wrap(told, style.width, initial_indent="    ", subsequent_indent="    ")


def _done_about(failure: Failure) -> str:
    """What was done about a failure, and what it cost."""
    done = "" if failure.action is None else _DONE[failure.action]
    lost = "" if failure.lost_seconds is None else f"{span(failure.lost_seconds)} lost"
    return ", ".join(filter(None, (done, lost)))


_DONE: Final = {
    FailureAction.RESTARTED_IN_PLACE: "restarted in place",
    FailureAction.NEW_ATTEMPT: "a new attempt followed",
    FailureAction.JOB_FAILED: "the job ended",
}


def _field(name: str, text: str) -> str:
    return f"{name + ':' if name else '':<{_NAME}}{text}"


def _wrapped(name: str, text: str, *, style: Style) -> Iterator[str]:
    lines = [
        piece
        for line in clean(text).splitlines()
        for piece in textwrap.wrap(line, style.width - _NAME, break_on_hyphens=False)
    ]
    for index, line in enumerate(lines):
        yield _field(name if index == 0 else "", line)
