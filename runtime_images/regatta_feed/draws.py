"""Random numbers that are a pure function of what they are for.

Each is a hash of a key and a counter (the finaliser of splitmix64), so that it depends neither on how many
processes feed, nor on timing, nor on the version of a library. Not for secrets.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["Draws", "fold", "mixed"]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def mix(value: int) -> int:
    """The 64-bit hash of a 64-bit number; a bijection."""
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`mix` of each number."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
    return values ^ (values >> np.uint64(31))


def fold(*parts: int) -> int:
    """One key of several numbers; their order counts."""
    key = 0
    for part in parts:
        key = mix((key + _GOLDEN + (part & _MASK)) & _MASK)
    return key


class Draws:
    """The stream of random numbers that belongs to a key."""

    __slots__ = ("_counter", "key")

    def __init__(self, key: int) -> None:
        self.key = key
        self._counter = 0

    def of(self, number: int) -> Draws:
        """A stream of its own for one step of a pipeline: what other steps draw does not move it."""
        return Draws(fold(self.key, number))

    def bits(self) -> int:
        """64 random bits."""
        self._counter += 1
        return mix((self.key + self._counter * _GOLDEN) & _MASK)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number of [low, high)."""
        return low + (high - low) * ((self.bits() >> 11) * 2.0**-53)

    def log_uniform(self, low: float, high: float) -> float:
        """A number of [low, high) whose logarithm is uniform."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def below(self, count: int) -> int:
        """A whole number of [0, count); the bias is count / 2**64."""
        return (self.bits() * count) >> 64

    def normal(self) -> float:
        """A number of the standard normal distribution."""
        return math.sqrt(-2 * math.log(1 - self.uniform())) * math.cos(2 * math.pi * self.uniform())

    def log_gamma(self, shape: float) -> float:
        """The logarithm of a number of the gamma distribution, after Marsaglia and Tsang."""
        if shape < 1:  # the number itself may be too small for a float
            return self.log_gamma(shape + 1) + math.log(1 - self.uniform()) / shape
        d = shape - 1 / 3
        while True:
            x = self.normal()
            v = (1 + x / math.sqrt(9 * d)) ** 3
            if v > 0 and math.log(1 - self.uniform()) < x * x / 2 + d - d * v + d * math.log(v):
                return math.log(d * v)

    def beta(self, shape: float) -> float:
        """A number of the symmetric beta distribution."""
        difference = self.log_gamma(shape) - self.log_gamma(shape)
        return 1 / (1 + math.exp(-difference)) if difference > -700 else 0.0

    def permutation(self, count: int) -> list[int]:
        """0 to count - 1 in random order."""
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def generator(self) -> np.random.Generator:
        """A numpy generator with this key, for the user's own step."""
        return np.random.Generator(np.random.Philox(key=self.bits()))
