"""A namespace of its own for one test, and everything a test asks about the jobs in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from tests.cluster.kit.api import Refused
from tests.cluster.kit.installation import Installation
from tests.cluster.kit.jobs import JobBuilder
from tests.cluster.kit.waiting import describe_job, wait_for

__all__ = ["Playground"]

T = TypeVar("T")

_CHILDREN = ("pods", "services", "configmaps")


class Playground:
    """Jobs of one namespace."""

    def __init__(self, installation: Installation, namespace: str) -> None:
        self.installation = installation
        self.api = installation.api
        self.namespace = namespace

    def apply(self, job: JobBuilder) -> str:
        """Create the job and return its name."""
        self.api.create("trainingjobs", job.obj(), namespace=self.namespace)
        return job.name

    def refusal(self, job: JobBuilder) -> str:
        """The API server's message when it does not take the job; fails when it does."""
        with pytest.raises(Refused) as caught:
            self.apply(job)
        assert caught.value.code == 422, caught.value
        return caught.value.message

    def status(self, name: str) -> dict[str, Any]:
        """Status of a job, empty while there is none."""
        status: dict[str, Any] = self.api.get("trainingjobs", name, namespace=self.namespace).get("status", {})
        return status

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Pods of a job, of all attempts, by name."""
        pods = self.api.list("pods", namespace=self.namespace, labels=f"regatta.dev/job={name}")
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    def log(self, pod: str) -> str:
        """Log of a pod's training container."""
        return self.api.log(pod, namespace=self.namespace, container="trainer")

    def children(self, name: str) -> list[str]:
        """Everything in the namespace that a job left or holds, as plural/name."""
        return [
            f"{plural}/{child['metadata']['name']}"
            for plural in _CHILDREN
            for child in self.api.list(plural, namespace=self.namespace, labels=f"regatta.dev/job={name}")
        ]

    def wait_status(
        self, name: str, what: str, holds: Callable[[dict[str, Any]], bool], *, timeout: float
    ) -> dict[str, Any]:
        """Status of the job at the first moment at which `holds` does."""

        def probe() -> dict[str, Any] | None:
            status = self.status(name)
            return status if holds(status) else None

        return self.wait(f"{name}: {what}", probe, name=name, timeout=timeout)

    def wait_phase(self, name: str, *phases: str, timeout: float) -> dict[str, Any]:
        """Status of the job at the first moment at which it is in one of the phases; another end fails at once."""
        ends = {"Succeeded", "Failed"}

        def holds(status: dict[str, Any]) -> bool:
            phase = status.get("phase")
            assert phase in phases or phase not in ends, f"{name} ended as {phase}\n{self.explain(name)}"
            return phase in phases

        return self.wait_status(name, f"phase {' or '.join(phases)}", holds, timeout=timeout)

    def wait(self, what: str, probe: Callable[[], T | None], *, name: str, timeout: float) -> T:
        """`wait_for` with the job's whole story when it fails."""
        return wait_for(what, probe, timeout=timeout, explain=lambda: self.explain(name))

    def explain(self, name: str) -> str:
        """The job's whole story."""
        return describe_job(self.api, namespace=self.namespace, name=name, operator_log=self.installation.log)

    def delete(self, name: str) -> None:
        """Order the job's deletion as `kubectl delete tj` does."""
        self.api.delete("trainingjobs", name, namespace=self.namespace)

    def wait_gone(self, name: str, *, timeout: float) -> None:
        """Wait until neither the job nor anything of it is left."""

        def probe() -> bool:
            return self.api.find("trainingjobs", name, namespace=self.namespace) is None and not self.children(name)

        self.wait(f"{name} and all of it to be gone (left: {self.children(name)})", probe, name=name, timeout=timeout)
