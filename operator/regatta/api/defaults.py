"""What an installation wants for jobs that do not say otherwise: the chart's `jobDefaults` and `gpuResources`.

The defaults are applied by the planner (`regatta.plan.defaults`), never written into a job: what a user wrote stays
what it was, and no webhook is needed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, ValidationError

from regatta.api.base import SpecModel
from regatta.api.explain import explain
from regatta.api.rules import is_extended_resource
from regatta.api.spec import Cleanup, Gang, Seconds
from regatta.errors import ConfigurationError

__all__ = ["DeadlineDefaults", "GpuResource", "JobDefaults"]

_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _extended_resource(text: str) -> str:
    if not is_extended_resource(text):
        raise ValueError("an extended resource is called DOMAIN/NAME, such as nvidia.com/gpu")
    return text


def _object_name(text: str) -> str:
    if len(text) > 253 or _DNS_SUBDOMAIN.fullmatch(text) is None:
        raise ValueError("the name of an object holds lower-case letters, digits, '-' and '.'")
    return text


ObjectName = Annotated[str, AfterValidator(_object_name)]


class GpuResource(SpecModel):
    """One kind of GPU that the cluster offers."""

    name: Annotated[str, AfterValidator(_extended_resource)]
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods that ask for it, such as nvidia; the node's own when left out."""


class DeadlineDefaults(SpecModel):
    """Deadlines of jobs that write none; null is none."""

    queued: Seconds | None = None
    starting: Seconds | None = 1800
    active: Seconds | None = None
    stalled: Seconds | None = None


class JobDefaults(SpecModel):
    """Everything that an installation may decide for jobs; what is left out is the operator's own default."""

    cleanup: Cleanup = Cleanup.RUNNING
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = None
    deadlines: DeadlineDefaults = DeadlineDefaults()
    gang: Gang = Gang.AUTO
    node_selector: dict[str, str] = Field(default={})
    runtime_class_name: ObjectName | None = None
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Secrets of each job's own namespace."""
    gpu_resources: Annotated[tuple[GpuResource, ...], Field(min_length=1)] = (GpuResource(name="nvidia.com/gpu"),)
    """The kinds of GPU of this cluster; jobs that name none get the first."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The defaults as the chart writes them; raises `ConfigurationError` with every field that is wrong."""
        try:
            return cls.model_validate_json(text, by_alias=True, by_name=False)
        except ValidationError as error:
            problems = "; ".join(map(str, explain(error.errors(), model=cls, root="jobDefaults")))
            raise ConfigurationError(f"the defaults of jobs can't be read: {problems}") from error

    def to_json(self) -> str:
        """The same as text."""
        return self.model_dump_json(by_alias=True)

    def runtime_class(self, gpu_resource: str | None) -> str | None:
        """RuntimeClass of a pod that asks for this kind of GPU, or for none."""
        own = next((gpu.runtime_class_name for gpu in self.gpu_resources if gpu.name == gpu_resource), None)
        return own or self.runtime_class_name

    def pull_secrets(self) -> list[dict[str, Any]]:
        """The Secrets as a pod's spec names them."""
        return [{"name": name} for name in self.image_pull_secrets]
