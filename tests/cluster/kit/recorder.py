"""A record of every pod that ever appeared in a namespace, kept by a watch without gaps."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, Self

from tests.cluster.kit.api import Api

__all__ = ["PodRecorder"]

# Seconds between renewals of the watch. Each goes on from the last version seen, so nothing is lost in between.
_WINDOW = 2


class PodRecorder:
    """Remembers each pod's uid under the job, attempt and worker that it was made for."""

    def __init__(self, api: Api, *, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._version = 0
        self._stop = threading.Event()
        self._trouble = ""
        self._uids: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._version = int(self._api.version("pods", namespace=self._namespace))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def finish(self) -> dict[tuple[str, str, str], set[str]]:
        """Uids by (job, attempt, worker) of all pods that existed up to now; fails where the record has a gap."""
        self._stop.set()
        self._thread.join()
        if self._trouble:
            raise AssertionError(f"the watch of pods broke, its record is not complete: {self._trouble}")
        return dict(self._uids)

    def _run(self) -> None:
        try:
            last = False
            while not last:
                last = self._stop.is_set()  # one whole window after the order to stop, so that what was is seen
                for event in self._api.watch(
                    "pods", namespace=self._namespace, version=str(self._version), seconds=_WINDOW
                ):
                    self._record(event)
        except Exception as error:
            self._trouble = repr(error)

    def _record(self, event: dict[str, Any]) -> None:
        if event["type"] == "ERROR":
            raise RuntimeError(event["object"])
        meta = event["object"]["metadata"]
        self._version = max(self._version, int(meta["resourceVersion"]))
        labels = meta.get("labels", {})
        if "regatta.dev/job" in labels:
            key = (labels["regatta.dev/job"], labels["regatta.dev/attempt"], labels["regatta.dev/worker"])
            self._uids[key].add(meta["uid"])
