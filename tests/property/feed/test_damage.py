"""No damage in a file does more than cost a sample."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError
from regatta_feed.params import Params
from regatta_feed.sources.example import MalformedError, parse_example
from regatta_feed.steps import STEPS, Item
from regatta_feed.steps.values import numbers
from tests.unit.feed.pictures import jpeg

GOOD = jpeg(1)
CHAIN = [
    STEPS[name].read(Params(params, name))
    for name, params in (
        ("decodeImage", {}),
        ("randomResizedCrop", {"size": 24}),
        ("randomHorizontalFlip", {}),
        ("colorJitter", {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.5}),
        ("normalize", {"mean": [0.5], "std": [0.5]}),
    )
]


def through(data: bytes, key: int) -> None:
    item = Item(data, 0, "sample")
    for number, step in enumerate(CHAIN):
        step.apply(item, Draws(key).of(number))
    result = numbers(item.value)
    assert (result.shape, result.dtype) == ((24, 24, 3), np.float32)
    assert np.isfinite(result).all()


@settings(max_examples=150, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8),
    end=st.integers(0, len(GOOD)),
    cut=st.booleans(),
    key=st.integers(0, 2**32),
)
def test_a_jpeg_with_any_bytes_changed_is_an_image_or_damaged(
    places: list[tuple[int, int]], end: int, cut: bool, key: int
) -> None:
    data = bytearray(GOOD[:end] if cut else GOOD)
    for place, value in places:
        if place < len(data):
            data[place] = value
    with contextlib.suppress(DamagedError):
        through(bytes(data), key)


@settings(max_examples=100, deadline=None)
@given(
    head=st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF"]),
    rest=st.binary(),
)
def test_what_only_looks_like_an_image_is_damaged(head: bytes, rest: bytes) -> None:
    with pytest.raises(DamagedError):
        through(head + rest, 0)


@settings(max_examples=100, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), key=st.integers(0, 2**32))
def test_the_smallest_images_go_through_all_steps(height: int, width: int, key: int) -> None:
    through(jpeg(2, height=height, width=width), key)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_an_example_or_malformed(data: bytes) -> None:
    try:
        parse_example(data)
    except MalformedError:
        return
