from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from regatta_feed.draws import Draws, fold
from regatta_feed.order import TABLE_LIMIT, Order, permuted


def test_small_permutations_are_uniform() -> None:
    rounds = 12_000
    seen = Counter(tuple(permuted(np.arange(4), count=4, key=key).tolist()) for key in range(rounds))
    expected = rounds / 24
    chi_square = sum((seen[order] - expected) ** 2 / expected for order in permutations(range(4)))
    assert chi_square < 49.7  # 23 degrees of freedom: one in a thousand lies above


@pytest.mark.parametrize("count", [TABLE_LIMIT, TABLE_LIMIT + 1, 1_000_003], ids=["table", "network", "large network"])
def test_neighbours_are_torn_apart_and_epochs_differ(count: int) -> None:
    positions = np.arange(50_000)
    first, second = (permuted(positions, count=count, key=fold(0, epoch)) for epoch in (1, 2))
    correlation = np.corrcoef(positions, first)[0, 1]
    steps = np.diff(first)
    assert abs(correlation) < 0.02
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    assert np.mean(np.abs(steps)) == pytest.approx(count / 3, rel=0.02)
    assert np.mean(first == second) < 0.001
    buckets = np.bincount(first * 64 // count, minlength=64)
    assert ((buckets - buckets.mean()) ** 2 / buckets.mean()).sum() < 117  # 63 degrees of freedom, one in 40,000


def test_the_order_of_a_seed_is_the_same_in_every_version() -> None:
    small = Order(samples=10, world=1, batch=10, seed=7).indices(epoch=3, step=0, rank=0)
    large = Order(samples=10_000_000, world=8, batch=4, seed=7).indices(epoch=3, step=1000, rank=5)
    assert (small.tolist(), large.tolist()) == SAME


SAME = ([2, 4, 7, 5, 1, 0, 9, 8, 6, 3], [8620532, 2402064, 1226844, 3002612])


@pytest.mark.parametrize(
    ("samples", "drop_last", "sizes"),
    [
        (24, True, [[4, 4, 4], [4, 4, 4]]),
        (31, True, [[4, 4, 4], [4, 4, 4]]),
        (31, False, [[4, 4, 4], [4, 4, 4], [3, 2, 2]]),
        (26, False, [[4, 4, 4], [5, 5, 4]]),
        (2, False, []),
        (7, False, [[3, 2, 2]]),
        (7, True, []),
    ],
)
def test_what_is_left_after_the_full_batches(samples: int, drop_last: bool, sizes: list[list[int]]) -> None:
    order = Order(samples=samples, world=3, batch=4, drop_last=drop_last)
    assert [[len(order.span(step=step, rank=rank)) for rank in range(3)] for step in range(order.steps)] == sizes


def test_draws_are_uniform_and_streams_do_not_move_one_another() -> None:
    draws = Draws(fold(1, 2, 3))
    numbers = [draws.uniform() for _ in range(20_000)]
    assert np.mean(numbers) == pytest.approx(0.5, abs=0.01)
    assert np.std(numbers) == pytest.approx(12**-0.5, abs=0.005)
    counts = np.bincount([draws.below(10) for _ in range(20_000)])
    assert counts.min() > 1800
    assert Draws(5).of(1).bits() == Draws(5).of(1).bits()
    assert Draws(5).of(1).bits() != Draws(5).of(2).bits()
    assert sorted(draws.permutation(9)) == list(range(9))


def test_a_position_outside_the_epoch_is_an_error() -> None:
    with pytest.raises(IndexError, match="outside an epoch of 2 steps"):
        Order(samples=8, world=1, batch=4).span(step=2, rank=0)
