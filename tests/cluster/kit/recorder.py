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
        self._living: dict[str, dict[str, Any]] = {}
        self._bound: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
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

    def living(self, job: str = "") -> list[dict[str, Any]]:
        """Pods that exist now, of one job or of all, as the watch told them last."""
        pods = tuple(self._living.values())
        return [pod for pod in pods if job in {"", pod["metadata"]["labels"]["regatta.dev/job"]}]

    def ever_on(self, node: str) -> dict[str, dict[str, Any]]:
        """Pods by uid that have ever been bound to a node."""
        return dict(self._bound[node])

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
            node = event["object"]["spec"].get("nodeName")
            if node:
                self._bound[node][meta["uid"]] = event["object"]
            if event["type"] == "DELETED":
                self._living.pop(meta["uid"], None)
            else:
                self._living[meta["uid"]] = event["object"]
