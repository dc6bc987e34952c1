"""Which samples are in which batch: a pure function of (seed, epoch, step, world size).

An epoch is a permutation of all samples. Step s of rank r takes the positions from (s * world + r) * batch on, so
a step of all ranks together is one stretch of the permutation, and every sample is in exactly one batch. Nothing
is remembered between batches: any step of any epoch is computed without those before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from regatta_feed.draws import Draws, fold, mixed

__all__ = ["Order", "permuted"]

TABLE_LIMIT = 1 << 16
"""Up to here an epoch's permutation is a sorted table (uniform, half a megabyte); beyond it is computed."""
ROUNDS = 6
"""Of the Feistel network. The tests of this project pass with 4."""
_ORDERS, _SUBSTITUTES, _AUGMENTATION, _TABLES, _MIXING = 1, 2, 3, 4, 5  # what a key is for


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The batches of all processes; every process has the same number of them in an epoch."""

    samples: int
    world: int
    batch: int
    seed: int = 0
    shuffle: bool = True
    drop_last: bool = True

    def __post_init__(self) -> None:
        if min(self.world, self.batch) < 1 or self.samples < 0:
            raise ValueError("world and batch begin with 1, samples with 0")

    @property
    def steps(self) -> int:
        """Batches of one process in an epoch; 0 where there are too few samples for a single one."""
        full, rest = divmod(self.samples, self.world * self.batch)
        return full + (not self.drop_last and rest >= self.world)

    @property
    def largest(self) -> int:
        """Samples in the largest batch of an epoch."""
        full, rest = divmod(self.samples, self.world * self.batch)
        return self.batch + (not self.drop_last and full > 0 and 0 < rest < self.world)

    def span(self, *, step: int, rank: int) -> range:
        """The positions in the epoch's permutation that a batch takes.

        With drop_last=False what remains after the full batches is spread as evenly as can be: over a step of its
        own where every process gets something of it, else one sample more for some in the last full step, because
        no framework can train on an empty batch.
        """
        if not (0 <= step < self.steps and 0 <= rank < self.world):
            raise IndexError(f"step {step} of rank {rank} is outside an epoch of {self.steps} steps")
        together = self.world * self.batch
        full, rest = divmod(self.samples, together)
        if self.drop_last:
            rest = 0
        start, count = step * together, together
        if step == full:
            count = rest
        elif step == full - 1 and 0 < rest < self.world:
            count += rest
        each, more = divmod(count, self.world)
        first = start + rank * each + min(rank, more)
        return range(first, first + each + (rank < more))

    def indices(self, *, epoch: int, step: int, rank: int) -> NDArray[np.int64]:
        """The samples of a batch, in its order."""
        span = self.span(step=step, rank=rank)
        positions = np.arange(span.start, span.stop, dtype=np.int64)
        if not self.shuffle:
            return positions
        return permuted(positions, count=self.samples, key=fold(self.seed, _ORDERS, epoch))

    def substitute(self, *, epoch: int, sample: int, attempt: int) -> int:
        """The sample that stands in for a damaged one: the first of attempts 0, 1, ... that is good.

        It depends on the damaged sample and the epoch only, so every feed chooses the same; all good samples
        stay in the epoch once, and the one chosen is there twice.
        """
        return Draws(fold(self.seed, _SUBSTITUTES, epoch, sample, attempt)).below(self.samples)

    def draws(self, *, epoch: int, sample: int) -> Draws:
        """The random numbers of a sample's augmentation."""
        return Draws(fold(self.seed, _AUGMENTATION, epoch, sample))

    def batch_draws(self, *, epoch: int, step: int, rank: int) -> Draws:
        """The random numbers of what is done with a batch as a whole."""
        return Draws(fold(self.seed, _MIXING, epoch, step, rank))


def permuted(positions: NDArray[np.int64], *, count: int, key: int) -> NDArray[np.int64]:
    """Where a random permutation of 0 to count - 1 takes the positions; the key chooses the permutation."""
    if count <= TABLE_LIMIT:
        return _table(count, key)[positions]
    return _network(positions.astype(np.uint64), count=count, key=key).astype(np.int64)


@lru_cache(maxsize=4)
def _table(count: int, key: int) -> NDArray[np.int64]:
    return np.argsort(mixed(np.arange(count, dtype=np.uint64) + np.uint64(fold(key, _TABLES))), kind="stable")


def _network(values: NDArray[np.uint64], *, count: int, key: int) -> NDArray[np.uint64]:
    """A Feistel network over the next power of two; what falls outside `count` goes through it again."""
    bits = (count - 1).bit_length()
    keys = _round_keys(key)
    values = _rounds(values, bits=bits, keys=keys)
    outside = np.flatnonzero(values >= count)
    while outside.size:
        values[outside] = _rounds(values[outside], bits=bits, keys=keys)
        outside = outside[values[outside] >= count]
    return values


@lru_cache(maxsize=4)
def _round_keys(key: int) -> tuple[np.uint64, ...]:
    return tuple(np.uint64(fold(key, number)) for number in range(ROUNDS))


def _rounds(values: NDArray[np.uint64], *, bits: int, keys: tuple[np.uint64, ...]) -> NDArray[np.uint64]:
    right_bits = bits // 2
    left_bits = bits - right_bits
    left, right = values >> np.uint64(right_bits), values & np.uint64((1 << right_bits) - 1)
    for key in keys:
        mask = np.uint64((1 << left_bits) - 1)
        left, right = right, left ^ (mixed(right + key) & mask)
        left_bits, right_bits = right_bits, left_bits
    return (left << np.uint64(right_bits)) | right
