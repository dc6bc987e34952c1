"""Says what pydantic found in the words of the API: the field's path, what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from regatta.api.problem import Problem, join

__all__ = ["explain"]

_LONGEST_SHOWN = 80


def explain(errors: Iterable[ErrorDetails], *, model: type[BaseModel], root: str) -> Iterator[Problem]:
    """One problem for each error of the model's validation; `root` is where the model stands."""
    for error in errors:
        yield Problem(join(root, *error["loc"]), _message(error, model=model))


def _message(error: ErrorDetails, *, model: type[BaseModel]) -> str:
    context = error.get("ctx", {})
    shown = _shown(error["input"])
    match error["type"]:
        case "missing":
            return f"required: {_description(error['loc'], model=model)}"
        case "extra_forbidden":
            return _unknown(error["loc"], model=model)
        case "enum":
            expected = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            # YAML reads Off, On, Yes and No as true or false; a user sees only the word that they wrote.
            quotes = ", in quotes" if isinstance(error["input"], bool) else ""
            return f"{shown} is unknown; write one of {expected}{quotes}"
        case "greater_than_equal":
            return f"{shown} is too small; write at least {context['ge']}"
        case "less_than_equal":
            return f"{shown} is too large; write at most {context['le']}"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "string_too_long" | "too_long":
            return f"too long; at most {context['max_length']} are allowed"
        case "value_error":
            return str(context["error"])
        case kind:
            return f"{shown} does not fit; {_WANTED.get(kind, error['msg'])}"


_WANTED = {
    "int_type": "write a whole number without quotes",
    "int_from_float": "write a whole number",
    "bool_type": "write true or false",
    "string_type": "write a text, in quotes where it looks like a number",
    "list_type": "write a list",
    "tuple_type": "write a list",
    "dict_type": "write an object (key: value)",
    "model_type": "write an object (key: value)",
    "model_attributes_type": "write an object (key: value)",
}


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _unknown(location: Sequence[str | int], *, model: type[BaseModel]) -> str:
    known = [str(field.alias) for field in _model_at(location[:-1], model=model).model_fields.values()]
    name = str(location[-1])
    # gpus_per_worker and GPUsPerWorker are the same slip as gpusPerWorke.
    folded = {key.lower(): key for key in known}
    close = difflib.get_close_matches(name.lower().replace("_", "").replace("-", ""), folded, n=1)
    return f"unknown field; write {folded[close[0]]}" if close else f"unknown field; known are {', '.join(known)}"


def _description(location: Sequence[str | int], *, model: type[BaseModel]) -> str:
    for field in _model_at(location[:-1], model=model).model_fields.values():
        if field.alias == location[-1]:
            text = (field.description or "").strip()
            return text[:1].lower() + text[1:].removesuffix(".")
    return "write it"


def _model_at(location: Sequence[str | int], *, model: type[BaseModel]) -> type[BaseModel]:
    """The innermost model that holds the location."""
    for step in location:
        for field in model.model_fields.values():
            if field.alias == step:
                model = next(_models_in(field.annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
