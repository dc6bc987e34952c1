"""Every exception that Regatta raises on purpose.

    RegattaError
      ApiError                   the API server answered with an error, or not at all (regatta.kube.errors)
      ConfigurationError         the installation itself is wrong: the operator says so and stops
      UsageError                 a command was called wrongly; the message says what to call instead

Errors are caught in one place each: the worker of the queue (control), the command's main (cli).
"""

from __future__ import annotations

__all__ = ["ConfigurationError", "RegattaError", "UsageError"]


class RegattaError(Exception):
    """Base of all errors raised on purpose; its text tells the user what to do next."""


class ConfigurationError(RegattaError):
    """The installation is wrong in a way that no retry heals."""


class UsageError(RegattaError):
    """A command line or an input file cannot be understood."""
