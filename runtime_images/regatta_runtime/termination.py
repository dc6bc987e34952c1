"""The container's last words: a JSON of at most 4096 bytes where the kubelet picks it up for the pod's status."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, Optional, Sequence

from regatta_runtime.crew.messages import FAILURES_KEPT, Failure

LIMIT = 4096  # the kubelet cuts there, which would leave broken JSON
VERSION = 1


def timestamp(clock: Optional[float] = None) -> str:
    """RFC 3339 in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if clock is None else clock))


def message(
    *,
    outcome: str,
    failure: Optional[Failure],
    worker: int,
    exit_code: int,
    generation: int,
    restarts: int,
    failures: Sequence[Failure],
    extra: Dict[str, Any],
) -> bytes:
    """The message, with sentences and old failures cut until it fits."""
    for sentence, kept in ((1000, FAILURES_KEPT), (600, FAILURES_KEPT), (400, 3), (200, 1), (100, 0)):
        raw: Dict[str, Any] = {"version": VERSION, "outcome": outcome}
        if failure is not None:
            raw.update(
                cause=failure.cause,
                worker=failure.worker,
                rank=failure.rank,
                exitCode=failure.exit_code,
                signal=failure.signal,
                message=_cut(failure.message, sentence),
            )
        else:
            raw.update(worker=worker, exitCode=exit_code, signal=None)
        raw.update(generation=generation, restarts=restarts, at=timestamp(), **extra)
        shown = failures[-kept:] if kept else []
        if shown:
            raw["failures"] = [{**f.to_json(), "message": _cut(f.message, sentence // 2)} for f in shown]
        data = json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        if len(data) <= LIMIT:
            break
    return data[:LIMIT]


def plain(*, exit_code: int, cause: str, text: str) -> bytes:
    """The message of a launcher that never got as far as a crew."""
    failure = Failure(0, 0, None, exit_code, None, cause, text)
    return message(
        outcome="Failed",
        failure=failure,
        worker=0,
        exit_code=exit_code,
        generation=0,
        restarts=0,
        failures=(),
        extra={},
    )


def write(path: str, data: bytes) -> None:
    """Put it where the kubelet looks; elsewhere (no such file) nothing is left behind."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)  # never created: outside of a pod /dev is not ours
    except OSError:
        return
    try:
        os.write(fd, data)
    except OSError:
        pass
    finally:
        os.close(fd)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
