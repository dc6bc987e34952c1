"""A program may say how many samples its steps train on; whoever says nothing is counted by its batches."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from regatta_runtime import samples
from regatta_runtime.measure.meter import leading_dimension


class PerReplica:
    """Named as TensorFlow's is."""

    def __init__(self, *values: object) -> None:
        self.values = values


def array(*shape: int | None) -> SimpleNamespace:
    return SimpleNamespace(shape=shape)


@pytest.mark.parametrize(
    ("batch", "counted"),
    [
        pytest.param(array(8, 3), 8, id="one array"),
        pytest.param((array(8, 3), array(8)), 8, id="inputs and labels"),
        pytest.param({"ids": array(16, 4), "mask": array(16, 4)}, 16, id="by name"),
        pytest.param([{"x": (array(4),)}], 4, id="nested"),
        pytest.param((PerReplica(array(4, 2), array(4, 2)), PerReplica(array(4), array(4))), 8, id="several devices"),
        pytest.param((array(), array(8)), 8, id="a number first"),
        pytest.param((array(None, 3),), 0, id="a shape that is not known"),
        pytest.param("text", 0, id="no array"),
        pytest.param(None, 0, id="nothing"),
    ],
)
def test_a_batch_has_as_many_samples_as_its_first_dimension_says(batch: object, counted: int) -> None:
    assert leading_dimension(batch) == counted


def test_outside_of_regatta_saying_it_does_nothing() -> None:
    samples.per_step(64)
