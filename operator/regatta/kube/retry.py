"""When a request is repeated, and after what pause."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import Final

from regatta.kube.errors import ApiError, Conflict, TooManyRequests, Unauthorized, Unavailable

__all__ = ["Backoff", "Effect", "RetryPolicy", "pause_before_retry"]


class Effect(enum.Enum):
    """What happens when a request takes effect twice."""

    REPEATABLE = enum.auto()
    """Nothing more than once: reads, deletes with a uid, patches with a resource version."""
    NAMED_CREATE = enum.auto()
    """The second try is told that the name is taken, and the caller reads back whose it is."""
    ONCE = enum.auto()
    """A second object, or a decision on stale grounds: a lost answer is the caller's to deal with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential pauses with full jitter on their upper half."""

    first: float = 0.1
    factor: float = 2.0
    cap: float = 5.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (1 is the first)."""
        # The exponent is bounded because a stream may have failed thousands of times.
        longest = min(self.cap, self.first * self.factor ** min(failures - 1, 32))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long one request is worth trying."""

    attempts: int = 6
    budget: float = 30.0
    """No try starts later than this many seconds after the first."""
    backoff: Backoff = Backoff()


PATIENT: Final = RetryPolicy()
NEVER: Final = RetryPolicy(attempts=1, budget=0.0)


def pause_before_retry(
    error: ApiError, *, effect: Effect, tried: int, elapsed: float, policy: RetryPolicy
) -> float | None:
    """Seconds until the request may be sent again, None when the error is the caller's to handle."""
    if tried >= policy.attempts:
        return None
    match error:
        case Unauthorized():
            # Once: the credentials are read again. A second refusal is meant.
            pause = 0.0 if tried == 1 else None
        case TooManyRequests():
            # Refused before anything was done, whatever the request was.
            pause = max(error.retry_after or 0.0, policy.backoff.pause(tried))
        case Unavailable() if effect is not Effect.ONCE:
            pause = max(error.retry_after or 0.0, policy.backoff.pause(tried))
        case Conflict() if effect is Effect.NAMED_CREATE:
            # Not "already exists": a ResourceQuota's usage was updated by several creates at once.
            pause = policy.backoff.pause(tried)
        case _:
            pause = None
    if pause is None or elapsed + pause > policy.budget:
        return None
    return pause
