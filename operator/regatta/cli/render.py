"""`regatta render`: what a manifest would become, from the very planner that the operator runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import yaml

import regatta
from regatta.api import names
from regatta.api.spec import Framework
from regatta.api.status import TrainingJobStatus
from regatta.api.validate import Problem, check
from regatta.cli.manifest import Manifest
from regatta.cli.warnings import warnings
from regatta.errors import UsageError
from regatta.plan.model import Create, Installation, Job, Observed
from regatta.plan.plan import plan

__all__ = ["EXAMPLE_UID", "Rendering", "default_installation", "rendering", "selected", "to_yaml"]

EXAMPLE_UID: Final = "00000000-0000-0000-0000-000000000000"
"""Stands where the API server's uid of the job will stand; the rendezvous token is derived from it."""
_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""A plan needs a moment; for a job's first plan it does not matter which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A manifest's children, or what keeps it from having any."""

    name: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    creates: tuple[Create, ...] = ()


def default_installation() -> Installation:
    """What the chart installs when nothing is changed."""
    return Installation(
        runtime_image=f"regatta/runtime:{regatta.__version__}",
        operator_image=f"regatta/operator:{regatta.__version__}",
        feed_image=f"regatta/feed:{regatta.__version__}",
        framework_images={
            framework.value: f"regatta/{framework.value.lower()}:{regatta.__version__}"
            for framework in Framework
            if framework is not Framework.CUSTOM
        },
    )


def rendering(manifest: Manifest, *, installation: Installation, namespace: str) -> Rendering:
    """Check the manifest and plan its first attempt."""
    raw = manifest.object
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    name = str(metadata.get("name") or metadata.get("generateName", "") + "example")
    spec, problems = check(raw)
    problems = (*manifest.problems, *problems)
    if spec is None or problems:
        return Rendering(name=name, problems=problems)
    if installation.image_of(spec) is None:
        missing = Problem("spec.image", f"this installation has no image for {spec.framework.value}; name one")
        return Rendering(name=name, problems=(missing,))
    job = Job(
        namespace=str(metadata.get("namespace") or namespace),
        name=name,
        uid=EXAMPLE_UID,
        generation=1,
        created_at=_BEGINNING,
        spec=spec,
        status=TrainingJobStatus(),
    )
    creates = plan(job, Observed(installation=installation), _BEGINNING).creates
    return Rendering(name=name, warnings=tuple(warnings(spec)), creates=creates)


def selected(creates: Sequence[Create], *, worker: int | None, everything: bool) -> tuple[list[Create], list[str]]:
    """The children to show, and the names of the pods that are left out because they are like the one shown."""
    pods = [create for create in creates if create.kind == "Pod"]
    if worker is not None:
        chosen = [pod for pod in pods if pod.body["metadata"]["labels"].get(names.LABEL_WORKER) == str(worker)]
        if not chosen:
            raise UsageError(f"there is no worker {worker}; this job has workers 0 to {len(pods) - 1}")
        return chosen, []
    if everything:
        return list(creates), []
    others = [create for create in creates if create.kind != "Pod"]
    return [*others, *pods[:1]], [pod.name for pod in pods[1:]]


def to_yaml(creates: Sequence[Create]) -> Iterator[str]:
    """The children as YAML documents."""
    for create in creates:
        yield "---\n" + yaml.dump(_plain(create.body), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Shared parts are written out, and texts of several lines stay legible."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
