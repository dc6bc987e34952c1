"""The rendezvous store holds what was put, up to its bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime.crew.store import Store, StoreFullError

KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "delete"]), KEYS, KEYS, st.binary(max_size=4)), max_size=60)


@given(STEPS)
def test_it_behaves_as_a_dictionary_within_its_bounds(steps: list[tuple[str, str, str, bytes]]) -> None:
    store, model = Store(entries=4, size=10), dict[tuple[str, str], bytes]()
    for action, scope, key, value in steps:
        if action == "delete":
            assert store.delete(scope, key) == (model.pop((scope, key), None) is not None)
            continue
        after = {**model, (scope, key): value}
        if len(after) > 4 or sum(map(len, after.values())) > 10:
            with pytest.raises(StoreFullError):
                store.put(scope, key, value)
        else:
            store.put(scope, key, value)
            model = after
        assert all(store.get(*place) == held for place, held in model.items())
        assert store.get("other", "key") is None


def test_a_new_generation_finds_it_empty_and_with_all_its_room() -> None:
    store = Store(entries=1, size=3)
    store.put("scope", "key", b"123")
    store.clear()
    assert store.get("scope", "key") is None
    store.put("scope", "other", b"456")
