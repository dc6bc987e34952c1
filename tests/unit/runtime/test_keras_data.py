"""How the data that all processes have is dealt out to them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from regatta_runtime.hooks import keras_data


class Array:
    """As much of an array as is used: rows that slices and lists of numbers choose from."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows
        self.shape = (len(rows), 1)

    def __getitem__(self, which: Any) -> Array:
        return Array(self.rows[which] if isinstance(which, slice) else [self.rows[i] for i in which])


Array.__module__ = "numpy"


def array(count: int) -> Array:
    return Array(list(range(count)))


def parts(count: int, world: int) -> list[list[int]]:
    return [keras_data.part(array(count), rank=rank, world=world).rows for rank in range(world)]


def test_every_sample_belongs_to_one_process() -> None:
    assert parts(8, 4) == [[0, 4], [1, 5], [2, 6], [3, 7]]


@pytest.mark.parametrize(("count", "world"), [(7, 2), (10, 4), (2, 3), (1, 4)])
def test_all_have_equally_many_though_some_samples_come_twice(count: int, world: int) -> None:
    found = parts(count, world)
    assert {len(part) for part in found} == {-(-count // world)}
    assert {sample for part in found for sample in part} == set(range(count))


@pytest.mark.parametrize(("world", "batch"), [(2, 4), (4, 8), (3, 6)])
def test_without_shuffling_a_step_of_all_sees_the_samples_of_a_step_of_one(world: int, batch: int) -> None:
    local = batch // world
    for step in range(24 // batch):
        seen = [part[step * local : (step + 1) * local] for part in parts(24, world)]
        assert sorted(sample for some in seen for sample in some) == list(range(step * batch, (step + 1) * batch))


class Pair(NamedTuple):
    left: Any
    right: Any


def test_structures_keep_their_shape() -> None:
    data = {"a": array(4), "b": [array(4), None], "c": Pair(array(4), (array(4),))}
    mine = keras_data.part(data, rank=1, world=2)
    assert mine["a"].rows == mine["b"][0].rows == mine["c"].left.rows == mine["c"].right[0].rows == [1, 3]
    assert mine["b"][1] is None


def test_the_last_part_is_kept_for_validation() -> None:
    training, validation = keras_data.split((array(10), None), 0.25)
    assert (training[0].rows, training[1]) == (list(range(7)), None)
    assert validation[0].rows == [7, 8, 9]


@pytest.mark.parametrize(
    "data",
    [None, iter(()), object(), [1, 2], {"x": object()}, (array(3), iter(()))],
    ids=lambda data: type(data).__name__,
)
def test_what_is_no_array_has_no_number_of_samples(data: Any) -> None:
    assert keras_data.samples(data) is None


def test_samples_are_counted_by_the_first_dimension() -> None:
    assert keras_data.samples((array(5), None, {"x": array(5)})) == 5


def test_data_that_was_dealt_out_is_known_by_itself() -> None:
    mine, other = iter(()), iter(())
    assert keras_data.mark(mine) is mine
    assert (keras_data.is_part(mine), keras_data.is_part(other)) == (True, False)
