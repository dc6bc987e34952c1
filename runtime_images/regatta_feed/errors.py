"""Every exception that the feed raises on purpose.

FeedError
  SpecError       the pipeline is not what it must be; names the field
  SourceError     the data as a whole cannot be read
  DamagedError    one sample cannot be used; it is counted and replaced by another
  OutOfMemoryError  the kernel killed a worker for the sidecar's memory limit
  StepError       a step fails for a reason that is not the sample's, such as the user's own function
"""

from __future__ import annotations

from typing import Any

__all__ = ["DamagedError", "FeedError", "OutOfMemoryError", "SourceError", "SpecError", "StepError"]


class FeedError(Exception):
    """Base of all; its text tells the user what to do next."""


class SpecError(FeedError):
    """A field of the pipeline is wrong."""

    def __init__(self, path: str, words: str) -> None:
        super().__init__(f"{path}: {words}")
        self.path, self._words = path, words

    def __reduce__(self) -> Any:
        return SpecError, (self.path, self._words)


class SourceError(FeedError):
    """The data cannot be read at all."""


class DamagedError(FeedError):
    """A sample cannot be used; `reason` is one of a few words for the metric, the text says more."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason

    def __reduce__(self) -> Any:
        return DamagedError, (self.reason, str(self))


class StepError(FeedError):
    """A step cannot do its work with any sample."""


class OutOfMemoryError(FeedError):
    """The kernel killed a worker, because the container may use no more memory."""
