"""Checks a TrainingJob as it came from the API server or from a file: every problem, with its exact path.

The CRD refuses most of this already; the check is for what CEL can't say, for objects that passed an older CRD, and
for files that no API server has seen yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from regatta.api import names
from regatta.api.explain import explain
from regatta.api.feeding import feed_problems
from regatta.api.problem import Problem
from regatta.api.rules import violations
from regatta.api.spec import Framework, TrainingJobSpec
from regatta.api.template import template_problems

__all__ = ["Problem", "check"]


def check(raw: Mapping[str, Any]) -> tuple[TrainingJobSpec | None, tuple[Problem, ...]]:
    """The spec, or None where it can't be read at all, and everything that is wrong with the object."""
    problems = [*_identity(raw)]
    given = raw.get("spec")
    if not isinstance(given, Mapping):
        return None, (*problems, Problem("spec", "required: write what to train, at least framework and command"))
    spec, unreadable = _read(given)
    problems += unreadable
    readable, faulty = (spec, frozenset[str]()) if spec is not None else _readable_part(given, unreadable)
    if readable is not None:
        problems += [
            problem
            for problem in (*violations(readable), *feed_problems(readable), *template_problems(readable))
            if not any(problem.path == path or problem.path.startswith((f"{path}.", f"{path}[")) for path in faulty)
        ]
    return spec, tuple(problems)


def _identity(raw: Mapping[str, Any]) -> Iterator[Problem]:
    if raw.get("kind", names.KIND) != names.KIND:
        yield Problem("kind", f"write {names.KIND}")
    if raw.get("apiVersion", names.API_VERSION) != names.API_VERSION:
        yield Problem("apiVersion", f"write {names.API_VERSION}")
    metadata = raw.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if isinstance(metadata, Mapping) and name is None and metadata.get("generateName"):
        return
    if not isinstance(name, str) or not name:
        yield Problem("metadata.name", "required: a name for the job, such as resnet50")
    elif len(name) > names.MAX_LABEL:
        yield Problem("metadata.name", f"{len(name)} characters; a job's name has at most {names.MAX_LABEL}")
    elif not names.is_dns_label(name):
        yield Problem(
            "metadata.name",
            "a job's name holds lower-case letters, digits and '-', and begins and ends with a letter or digit",
        )


def _read(given: Mapping[str, Any]) -> tuple[TrainingJobSpec | None, list[Problem]]:
    try:
        # As JSON and strictly, because so does the API server read it: "4" is not a number, 1 is not true.
        text = to_json(given, fallback=_plain)
        return TrainingJobSpec.model_validate_json(text, strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, list(explain(error.errors(), model=TrainingJobSpec, root="spec"))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _readable_part(
    given: Mapping[str, Any], unreadable: list[Problem]
) -> tuple[TrainingJobSpec | None, frozenset[str]]:
    """The spec without the fields that can't be read, so that one typo doesn't hide all other problems."""
    faulty = {problem.path.split(".")[1].partition("[")[0] for problem in unreadable if "." in problem.path}
    rest: dict[str, Any] = {key: value for key, value in given.items() if key not in faulty}
    if "framework" not in rest:
        rest["framework"] = Framework.PYTORCH
    spec, _ = _read(rest)
    return spec, frozenset(f"spec.{field}" for field in faulty)
