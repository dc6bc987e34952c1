"""The cluster as the command sees it: dictionaries in, errors that say what to do, watches that reconnect.

The `kubernetes` package takes a second to import, so it is imported when a cluster is opened and not before.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote

from regatta.api import names
from regatta.cli.errors import ClusterError, NotFoundError
from regatta.cli.text import one_line
from regatta.kube.wire import RECURSION_LIMIT

__all__ = ["Change", "Cluster", "Connection"]

_JOBS: Final = f"/apis/{names.GROUP}/{names.VERSION}"
_WATCH_SECONDS: Final = 240
_CONNECT_SECONDS: Final = 10.0
_GIVE_UP_SECONDS: Final = 300.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Which cluster and namespace the command line names; what it leaves out, the kubeconfig says."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None

    def open(self) -> Cluster:
        """Connect; raises `ClusterError` where there is no usable configuration."""
        import urllib3
        from kubernetes import client, config

        # They would stand between our own lines: a warning for every retry, and one for every request to a server
        # whose certificate the kubeconfig says not to check.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if self.kubeconfig is not None and not os.path.exists(self.kubeconfig):
            raise ClusterError(f"there is no file {self.kubeconfig}; give another with --kubeconfig")
        try:
            _, active = config.list_kube_config_contexts(config_file=self.kubeconfig)  # type: ignore[no-untyped-call]
            api = config.new_client_from_config(  # type: ignore[no-untyped-call]
                config_file=self.kubeconfig, context=self.context, persist_config=False
            )
        except config.ConfigException as error:
            if self.kubeconfig is None and self.context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config()  # type: ignore[no-untyped-call]
                return Cluster(client.ApiClient(), namespace=self.namespace or _own_namespace())
            raise ClusterError(
                f"no usable kubeconfig: {one_line(error)}; set KUBECONFIG, or give --kubeconfig and --context"
            ) from error
        namespace = self.namespace or self._namespace_of_context(active)
        return Cluster(api, namespace=namespace)

    def _namespace_of_context(self, active: Mapping[str, Any]) -> str:
        from kubernetes import config

        context = active
        if self.context is not None:
            contexts, _ = config.list_kube_config_contexts(config_file=self.kubeconfig)  # type: ignore[no-untyped-call]
            context = next((entry for entry in contexts if entry["name"] == self.context), active)
        return str((context.get("context") or {}).get("namespace") or "default")


@dataclass(frozen=True, slots=True)
class Change:
    """An object as it is now, or as it was last before it was deleted."""

    object: Mapping[str, Any]
    deleted: bool = False


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, api: Any, *, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._api.configuration.host)

    def job(self, name: str) -> dict[str, Any]:
        """The TrainingJob of that name."""
        return self.get(f"{_JOBS}/namespaces/{quote(self.namespace, safe='')}/{names.PLURAL}/{quote(name, safe='')}")

    def jobs(self, *, everywhere: bool = False) -> list[dict[str, Any]]:
        """All TrainingJobs of the namespace, or of all namespaces."""
        scope = "" if everywhere else f"/namespaces/{quote(self.namespace, safe='')}"
        items: list[dict[str, Any]] = self.get(f"{_JOBS}{scope}/{names.PLURAL}")["items"]
        return items

    def pods(self, job: str) -> list[dict[str, Any]]:
        """All pods of a job, of all attempts."""
        items: list[dict[str, Any]] = self.get(self._pods(), query={"labelSelector": f"{names.LABEL_JOB}={job}"})[
            "items"
        ]
        return items

    def watch_job(self, name: str) -> Iterator[Change]:
        """The job and then each of its changes, without end."""
        path = f"{_JOBS}/namespaces/{quote(self.namespace, safe='')}/{names.PLURAL}"
        return self._watch(path, query={"fieldSelector": f"metadata.name={name}"})

    def watch_pods(self, job: str) -> Iterator[Change]:
        """The job's pods and then each of their changes, without end."""
        return self._watch(self._pods(), query={"labelSelector": f"{names.LABEL_JOB}={job}"})

    def log(self, pod: str, *, query: Mapping[str, str], read_seconds: float) -> Iterator[bytes]:
        """Lines of a pod's training container; ends when the server ends the stream or is silent for too long."""
        path = f"{self._pods()}/{quote(pod, safe='')}/log"
        yield from self._lines(path, query={"container": names.TRAINER, **query}, read_seconds=read_seconds)

    def get(self, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A JSON answer."""
        response = self._send(path, query=query or {}, read_seconds=30.0)
        answer: dict[str, Any] = _parse(response.read())
        return answer

    def time(self) -> datetime:
        """What the API server's clock says: this machine's may be wrong, and ages are told by it."""
        try:
            date = self._send("/version", query={}, read_seconds=30.0).getheader("Date")
            return parsedate_to_datetime(date).astimezone(UTC)
        except (ClusterError, TypeError, ValueError):
            return datetime.now(UTC)

    def _pods(self) -> str:
        return f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods"

    def _watch(self, path: str, *, query: Mapping[str, str]) -> Iterator[Change]:
        known: dict[str, Mapping[str, Any]] = {}
        failing_since: float | None = None
        failures = 0
        answered = False
        while True:
            try:
                listed = self.get(path, query=query)
                answered, failing_since, failures = True, None, 0
                yield from _differences(known, listed["items"])
                yield from self._events(path, query=query, version=listed["metadata"]["resourceVersion"], known=known)
            except ClusterError as error:
                # Before the first answer it is an answer; later a connection that was lost and comes back.
                if not answered or isinstance(error, NotFoundError):
                    raise
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > _GIVE_UP_SECONDS:
                    raise
                time.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1

    def _events(
        self, path: str, *, query: Mapping[str, str], version: str, known: dict[str, Mapping[str, Any]]
    ) -> Iterator[Change]:
        watch = {
            **query,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        for line in self._lines(path, query=watch, read_seconds=_WATCH_SECONDS + 30.0):
            event = _parse(line)
            item, kind = event.get("object") or {}, event.get("type")
            if kind == "ERROR":
                return  # most likely the version is too old; listing again tells what was missed
            if kind in {"ADDED", "MODIFIED"}:
                known[item["metadata"]["uid"]] = item
                yield Change(item)
            elif kind == "DELETED":
                known.pop(item["metadata"]["uid"], None)
                yield Change(item, deleted=True)

    def _lines(self, path: str, *, query: Mapping[str, str], read_seconds: float) -> Iterator[bytes]:
        import urllib3

        response = self._send(path, query=query, read_seconds=read_seconds)
        rest = b""
        try:
            for chunk in response.response.stream(amt=None, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except urllib3.exceptions.ReadTimeoutError:
            pass  # silence is no error; the caller asks again
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"the connection to {self.server} was lost: {one_line(error)}") from error
        finally:
            response.response.close()
        if rest:
            yield rest

    def _send(self, path: str, *, query: Mapping[str, str], read_seconds: float) -> Any:
        import urllib3
        from kubernetes.client import ApiException

        _, url, headers, _, _ = self._api.param_serialize(
            "GET",
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*"},
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.rest_client.request(
                "GET", url, headers=headers, _request_timeout=(_CONNECT_SECONDS, read_seconds)
            )
        except (urllib3.exceptions.HTTPError, ApiException) as error:
            raise ClusterError(
                f"the cluster at {self.server} does not answer: {one_line(error)}; check the kubeconfig and the network"
            ) from error
        if response.status >= 400:
            raise _refusal(response.status, response.read(), path=path)
        return response


def _differences(known: dict[str, Mapping[str, Any]], items: list[dict[str, Any]]) -> Iterator[Change]:
    """What changed since `known`, which is brought up to date: nothing that happened during a gap is lost."""
    present = {item["metadata"]["uid"]: item for item in items}
    for uid in [uid for uid in known if uid not in present]:
        yield Change(known.pop(uid), deleted=True)
    for uid, item in present.items():
        before = known.get(uid)
        known[uid] = item
        if before is None or before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            yield Change(item)


def _refusal(code: int, body: bytes, *, path: str) -> ClusterError:
    try:
        answer = json.loads(body)
        message, details = str(answer.get("message", "")), answer.get("details") or {}
    except (ValueError, AttributeError):
        message, details = body.decode(errors="replace"), {}
    words = one_line(message, width=500)
    if code == 404 and not details.get("name") and path.startswith(_JOBS):
        return ClusterError("this cluster knows no TrainingJobs; install Regatta's chart first")
    if code == 404:
        return NotFoundError(words)
    if code == 401:
        return ClusterError(f"the cluster does not know you: {words}; log in again, or choose another --context")
    if code == 403:
        return ClusterError(f"not allowed: {words}")
    return ClusterError(f"the API server answered {code}: {words}")


def _own_namespace() -> str:
    try:
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:
            return file.read().strip() or "default"
    except OSError:
        return "default"


def _parse(body: bytes | str) -> Any:
    """JSON however deep: one job of a thousand levels must not keep anybody from listing the others."""
    try:
        return json.loads(body)
    except RecursionError:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(RECURSION_LIMIT)
        try:
            return json.loads(body)
        finally:
            sys.setrecursionlimit(before)
