"""What can go wrong when the command talks to a cluster; each says what to do."""

from __future__ import annotations

from regatta.errors import RegattaError

__all__ = ["ClusterError", "NotFoundError"]


class ClusterError(RegattaError):
    """The cluster can't be reached, or does not allow or understand what was asked."""


class NotFoundError(ClusterError):
    """The object does not exist."""
