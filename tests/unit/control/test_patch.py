"""Merge patches: applied to what was, they give what is wanted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.control.patch import merge_patch

scalars = st.one_of(st.booleans(), st.integers(), st.text(max_size=3))
keys = st.text(max_size=2)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3))
)
objects = st.dictionaries(keys, values, max_size=4)


def applied(target: Any, patch: Any) -> Any:
    """RFC 7386, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = applied(result.get(name), value)
    return result


@given(before=objects, after=objects)
def test_the_patch_makes_the_one_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert applied(before, merge_patch(before, after)) == after


@given(same=objects)
def test_equal_objects_need_no_patch(same: dict[str, Any]) -> None:
    assert merge_patch(same, same) == {}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"b": None}, id="a key that goes becomes null"),
        pytest.param({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": None}}, id="also inside"),
        pytest.param({"l": [1, 2]}, {"l": [1]}, {"l": [1]}, id="lists are replaced whole"),
        pytest.param({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}, id="a scalar becomes an object"),
        pytest.param({}, {"a": {}}, {"a": {}}, id="an empty object is something"),
    ],
)
def test_the_patch_is_as_small_as_can_be(before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge_patch(before, after) == patch
