"""The order of samples, over datasets, worlds, batches and epochs that hypothesis invents."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from regatta_feed.order import TABLE_LIMIT, Order, permuted


@st.composite
def orders(draw: st.DrawFn, **fixed: object) -> Order:
    choices: dict[str, object] = {
        "samples": draw(st.integers(0, 400)),
        "world": draw(st.integers(1, 9)),
        "batch": draw(st.integers(1, 40)),
        "seed": draw(st.integers(0, 2**63)),
        "shuffle": draw(st.booleans()),
        "drop_last": draw(st.booleans()),
    }
    return Order(**{**choices, **fixed})


def epoch_of(order: Order, epoch: int) -> list[list[list[int]]]:
    """Samples by step and rank."""
    return [
        [order.indices(epoch=epoch, step=step, rank=rank).tolist() for rank in range(order.world)]
        for step in range(order.steps)
    ]


def flat(batches: list[list[list[int]]]) -> list[int]:
    return [sample for step in batches for batch in step for sample in batch]


@settings(max_examples=30, deadline=None)
@given(order=orders(drop_last=False), epoch=st.integers(0, 1000))
def test_every_sample_is_in_exactly_one_batch_of_the_epoch(order: Order, epoch: int) -> None:
    seen = flat(epoch_of(order, epoch))
    expected = range(order.samples) if order.samples >= order.world else []
    assert sorted(seen) == list(expected)


@settings(max_examples=30, deadline=None)
@given(order=orders(drop_last=True), epoch=st.integers(0, 1000))
def test_with_drop_last_all_batches_are_full_and_less_than_one_step_is_left_out(order: Order, epoch: int) -> None:
    batches = epoch_of(order, epoch)
    seen = flat(batches)
    assert len(set(seen)) == len(seen)
    assert all(len(batch) == order.batch for step in batches for batch in step)
    assert 0 <= order.samples - len(seen) < order.world * order.batch
    assert all(0 <= sample < order.samples for sample in seen)


@settings(max_examples=30, deadline=None)
@given(order=orders(drop_last=False))
def test_no_batch_is_empty_and_those_of_a_step_differ_by_one_sample_at_most(order: Order) -> None:
    for step in range(order.steps):
        sizes = [len(order.span(step=step, rank=rank)) for rank in range(order.world)]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= order.largest


@settings(max_examples=30, deadline=None)
@given(order=orders(), epoch=st.integers(0, 1000), data=st.data())
def test_a_batch_is_the_same_whatever_was_asked_before(order: Order, epoch: int, data: st.DataObject) -> None:
    if order.steps == 0:
        return
    step, rank = data.draw(st.integers(0, order.steps - 1)), data.draw(st.integers(0, order.world - 1))
    resumed = dataclasses.replace(order)
    assert resumed.indices(epoch=epoch, step=step, rank=rank).tolist() == epoch_of(order, epoch)[step][rank]


@settings(max_examples=20, deadline=None)
@given(excess=st.integers(-2, 5000), epoch=st.integers(0, 1000), world=st.integers(1, 9))
def test_large_epochs_too_hold_every_sample_once(excess: int, epoch: int, world: int) -> None:
    order = Order(samples=TABLE_LIMIT + excess, world=world, batch=8000, drop_last=False)
    assert sorted(flat(epoch_of(order, epoch))) == list(range(order.samples))


@settings(max_examples=30, deadline=None)
@given(order=orders(drop_last=True), factor=st.integers(1, 5), epoch=st.integers(0, 1000))
def test_a_world_with_the_same_samples_in_a_step_trains_on_the_same_steps(
    order: Order, factor: int, epoch: int
) -> None:
    wide = Order(
        samples=order.samples, world=order.world * factor, batch=order.batch, seed=order.seed, shuffle=order.shuffle
    )
    narrow = Order(
        samples=order.samples, world=order.world, batch=order.batch * factor, seed=order.seed, shuffle=order.shuffle
    )
    assert [flat([step]) for step in epoch_of(wide, epoch)] == [flat([step]) for step in epoch_of(narrow, epoch)]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 200_000), key=st.integers(0, 2**64 - 1))
def test_a_permutation_takes_every_position_to_another_place(count: int, key: int) -> None:
    assert np.array_equal(np.sort(permuted(np.arange(count), count=count, key=key)), np.arange(count))


@given(order=orders(), sample=st.integers(0, 5000), epoch=st.integers(0, 50), attempt=st.integers(0, 50))
def test_a_substitute_is_a_sample_and_always_the_same(order: Order, sample: int, epoch: int, attempt: int) -> None:
    if order.samples == 0:
        return
    chosen = order.substitute(epoch=epoch, sample=sample, attempt=attempt)
    assert 0 <= chosen < order.samples
    assert chosen == order.substitute(epoch=epoch, sample=sample, attempt=attempt)
