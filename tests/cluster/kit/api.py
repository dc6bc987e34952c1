"""A thin view of the API server for tests: dictionaries in and out, errors in the server's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubernetes import config

__all__ = ["Api", "Refused"]

_PREFIX = {
    "configmaps": "/api/v1",
    "events": "/apis/events.k8s.io/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "namespaces": "/api/v1",
    "nodes": "/api/v1",
    "podgroups": "/apis/scheduling.k8s.io/v1beta1",
    "persistentvolumeclaims": "/api/v1",
    "persistentvolumes": "/api/v1",
    "pods": "/api/v1",
    "resourcequotas": "/api/v1",
    "serviceaccounts": "/api/v1",
    "services": "/api/v1",
    "deployments": "/apis/apps/v1",
    "clusterroles": "/apis/rbac.authorization.k8s.io/v1",
    "customresourcedefinitions": "/apis/apiextensions.k8s.io/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "subjectaccessreviews": "/apis/authorization.k8s.io/v1",
    "priorityclasses": "/apis/scheduling.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "validatingadmissionpolicies": "/apis/admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings": "/apis/admissionregistration.k8s.io/v1",
    "trainingjobs": "/apis/regatta.dev/v1alpha1",
}


class Refused(Exception):  # noqa: N818 - what happened, not a fault of the test
    """The API server answered with an error."""

    def __init__(self, code: int, body: Mapping[str, Any]) -> None:
        self.code = code
        self.reason: str = body.get("reason", "")
        self.message: str = body.get("message", "")
        super().__init__(f"{code} {self.reason}: {self.message}")


class Api:
    """Verbs by plural name, in one cluster."""

    def __init__(self, *, kubeconfig: Path | None, context: str | None = None, user: str = "") -> None:
        """Speak as the kubeconfig's user, or, where that may do so, as another one."""
        self._as = {"Impersonate-User": user} if user else {}
        self._client = config.new_client_from_config(
            config_file=str(kubeconfig) if kubeconfig else None, context=context, persist_config=False
        )

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """Answer of one call: parsed when it is JSON, else text. Raises `Refused`."""
        response = self._send(method, path, body=body, query=query, content_type=content_type, timeout=30.0)
        raw = response.read()
        is_json = "json" in response.getheader("Content-Type", "")
        if response.status >= 400:
            raise Refused(response.status, json.loads(raw) if is_json else {"message": raw.decode(errors="replace")})
        return json.loads(raw) if is_json else raw.decode(errors="replace")

    def get(self, plural: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """The object."""
        answer: dict[str, Any] = self.request("GET", self.path(plural, namespace=namespace, name=name))
        return answer

    def find(self, plural: str, name: str, *, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, or None where there is none."""
        try:
            return self.get(plural, name, namespace=namespace)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def list(self, plural: str, *, namespace: str | None = None, labels: str = "") -> list[dict[str, Any]]:
        """All objects of one kind."""
        query = {"labelSelector": labels} if labels else {}
        items: list[dict[str, Any]] = self.request("GET", self.path(plural, namespace=namespace), query=query)["items"]
        return items

    def create(self, plural: str, body: Mapping[str, Any], *, namespace: str | None = None) -> dict[str, Any]:
        """The object as the server took it."""
        answer: dict[str, Any] = self.request("POST", self.path(plural, namespace=namespace), body=body)
        return answer

    def patch(self, plural: str, name: str, body: Mapping[str, Any], *, namespace: str | None = None) -> dict[str, Any]:
        """The object after a merge patch."""
        path = self.path(plural, namespace=namespace, name=name)
        answer: dict[str, Any] = self.request("PATCH", path, body=body, content_type="application/merge-patch+json")
        return answer

    def delete(self, plural: str, name: str, *, namespace: str | None = None, grace: int | None = None) -> None:
        """Order the deletion; an object that is gone already is fine."""
        query = {} if grace is None else {"gracePeriodSeconds": str(grace)}
        try:
            self.request("DELETE", self.path(plural, namespace=namespace, name=name), query=query)
        except Refused as refused:
            if refused.code != 404:
                raise

    def log(self, pod: str, *, namespace: str, tail: int | None = None, container: str = "") -> str:
        """A pod's log, or why there is none."""
        query = {"tailLines": str(tail)} if tail is not None else {}
        if container:
            query["container"] = container
        try:
            return str(self.request("GET", self.path("pods", namespace=namespace, name=pod) + "/log", query=query))
        except Refused as refused:
            return f"(no log: {refused})"

    def version(self, plural: str, *, namespace: str | None = None) -> str:
        """The collection's resourceVersion now."""
        version: str = self.request("GET", self.path(plural, namespace=namespace))["metadata"]["resourceVersion"]
        return version

    def watch(
        self, plural: str, *, namespace: str | None = None, version: str = "", seconds: int = 60
    ) -> Iterator[dict[str, Any]]:
        """Events of one kind after `version`, bookmarks included, until the server ends the stream after `seconds`."""
        query = {"watch": "true", "timeoutSeconds": str(seconds), "allowWatchBookmarks": "true"}
        if version:
            query["resourceVersion"] = version
        path = self.path(plural, namespace=namespace)
        response = self._send("GET", path, query=query, timeout=(10.0, seconds + 10.0))
        if response.status >= 400:
            raise Refused(response.status, json.loads(response.read()))
        rest = b""
        for chunk in response.response.stream(amt=None, decode_content=True):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)

    @staticmethod
    def path(plural: str, *, namespace: str | None = None, name: str = "") -> str:
        """Address of a collection or an object."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{_PREFIX[plural]}{scope}/{plural}" + (f"/{name}" if name else "")

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float | tuple[float, float],
    ) -> Any:
        _, url, headers, payload, _ = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json, */*", "Content-Type": content_type, **self._as},
            body=body,
            auth_settings=["BearerToken"],
        )
        return self._client.rest_client.request(method, url, headers=headers, body=payload, _request_timeout=timeout)
