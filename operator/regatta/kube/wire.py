"""JSON as it goes over the wire, and what to do with objects made to break a parser.

A TrainingJob may hold any JSON in its pod template, and the API server takes ten thousand levels of it. orjson stops at
a thousand, Python's own parser where the interpreter's recursion limit is, which `main` sets high enough. Whoever may
create a TrainingJob must not be able to stop the operator for all others with one.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from regatta.kube.errors import Invalid, Unavailable

__all__ = ["RECURSION_LIMIT", "decode", "encode"]

RECURSION_LIMIT: Final = 30_000
"""Levels of JSON and frames of Python; the C stack of a thread holds more than this."""


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; Unavailable when it is none, as a proxy's page isn't."""
    decoded: Any
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError as refusal:
        try:
            decoded = json.loads(body)
        except (ValueError, RecursionError):
            raise Unavailable(f"the answer is not JSON: {refusal}") from refusal
    if not isinstance(decoded, dict):
        raise Unavailable("the answer is no JSON object")
    return decoded


def encode(thing: Any) -> bytes:
    """The thing as JSON; Invalid when it is nested deeper than anything sensible."""
    try:
        return orjson.dumps(thing)
    except orjson.JSONEncodeError as error:
        raise Invalid(f"can't be written as JSON: {error}") from error
