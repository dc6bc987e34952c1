"""Reads manifests as kubectl reads them, and knows on which line each field stands."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from regatta.api.problem import Problem, join
from regatta.errors import UsageError

__all__ = ["Manifest", "read_manifests"]

_STEP: Final = re.compile(r'(\.[^.\[\]]+|\["(?:[^"\\]|\\.)*"\]|\[\d+\])$')


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object of a file."""

    object: Mapping[str, Any]
    lines: Mapping[str, int]
    """Line of each field, by its path; counted from 1."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the YAML itself although it can be read."""

    def line(self, path: str) -> int:
        """Line of the field, or of the innermost object around it that exists."""
        while path not in self.lines:
            shorter = _STEP.sub("", path)
            if shorter == path:
                return self.lines.get("", 1)
            path = shorter
        return self.lines[path]


def read_manifests(text: str, *, source: str) -> tuple[Manifest, ...]:
    """All objects of a YAML or JSON text; raises `UsageError` where it is neither."""
    manifests = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node)
            if node is None or value is None:
                continue
            if not isinstance(value, dict):
                raise UsageError(f"{source}:{node.start_mark.line + 1}: not a Kubernetes object (key: value)")
            lines, doubles = _lines(node)
            manifests.append(Manifest(object=value, lines=lines, problems=doubles))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = source if mark is None else f"{source}:{mark.line + 1}"
        raise UsageError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()
    return tuple(manifests)


def _lines(root: yaml.Node) -> tuple[dict[str, int], tuple[Problem, ...]]:
    lines: dict[str, int] = {}
    doubles: list[Problem] = []
    for path, line in _walk(root, "", ancestors=()):
        if path in lines:
            doubles.append(Problem(path, f"written twice, first on line {lines[path]}; leave one"))
        lines[path] = line
    return lines, tuple(doubles)


def _walk(node: yaml.Node, path: str, *, ancestors: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    if not path:
        yield path, node.start_mark.line + 1
    if id(node) in ancestors:
        return  # an alias of something around it
    inner = (*ancestors, id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = join(path, key.value) if path else str(key.value)
            yield below, key.start_mark.line + 1
            yield from _walk(value, below, ancestors=inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = join(path, index)
            yield below, value.start_mark.line + 1
            yield from _walk(value, below, ancestors=inner)


class _Loader(yaml.SafeLoader):
    """YAML as kubectl's reader has it: `Off` is false, but a date stays a text and 1:30 is no number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Keys are texts, as in JSON."""
        values = super().construct_mapping(node, deep)
        return {key if isinstance(key, str) else json.dumps(key, default=str): value for key, value in values.items()}


_NUMBER: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_DATE: Final = "tag:yaml.org,2002:timestamp"

_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_NUMBER, _FLOAT, _DATE}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _NUMBER, re.compile(r"^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^([-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+0123456789."),
)
