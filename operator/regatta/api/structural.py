"""Turns pydantic's JSON schema into the structural schema that a CustomResourceDefinition must have.

Structural means: every value has one type, references are inlined, null is `nullable` rather than an alternative, and
objects are closed by pruning instead of `additionalProperties: false`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["structural_schema"]

_REFERENCE = "#/$defs/"
_DROPPED = frozenset({"title", "$defs", "default", "anyOf", "allOf", "$ref", "const"})


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model as a structural schema, with defaults where the API server should fill them in."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, definitions=schema.get("$defs", {}))


def _convert(node: Mapping[str, Any], *, definitions: Mapping[str, Any]) -> dict[str, Any]:
    if node.get("x-kubernetes-int-or-string"):
        return dict(node)  # the one place where alternatives are allowed, and required
    node, nullable = _resolve(node, definitions=definitions)
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if result.get("additionalProperties") is False:
        del result["additionalProperties"]
    if "properties" in result:
        result["properties"] = {
            name: _convert(value, definitions=definitions) for name, value in result["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), Mapping):
            result[key] = _convert(result[key], definitions=definitions)
    if result.get("type") == "integer":
        result.setdefault("format", "int64")
    _settle_default(result, default=node.get("default"), given="default" in node, nullable=nullable)
    if "enum" in result:
        result.pop("nullable", None)  # the API server finds null in no enumeration, not even where it is listed
    return result


def _settle_default(result: dict[str, Any], *, default: Any, given: bool, nullable: bool) -> None:
    if default in (None, "", [], {}):
        # Nothing to fill in, so a key without a value (`env:` in YAML) may stand there and means the same.
        if nullable or given:
            result["nullable"] = True
    elif isinstance(default, Mapping):
        result["default"] = {}  # the defaults of its fields are filled in below it
    else:
        result["default"] = default
        if nullable:
            result["nullable"] = True


def _resolve(node: Mapping[str, Any], *, definitions: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The node with references inlined and `X or null` reduced to X; and whether null was allowed."""
    nullable = False
    result = dict(node)
    while True:
        if "$ref" in result:
            target = definitions[result.pop("$ref").removeprefix(_REFERENCE)]
        elif "anyOf" in result:
            alternatives = [option for option in result["anyOf"] if option.get("type") != "null"]
            if len(alternatives) != 1:
                raise ValueError(f"not structural: {result['anyOf']}")
            nullable = nullable or len(alternatives) < len(result.pop("anyOf"))
            target = alternatives[0]
        else:
            return result, nullable
        result = {**target, **result}  # what stands beside a reference (description, default) wins
