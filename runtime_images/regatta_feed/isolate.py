"""Doing something in a process of its own that is gone afterwards, with its threads.

The feed's workers are forked, and threads do not live through a fork: whatever starts some (clients of storages,
tokenizers) runs here, or in a worker.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

from regatta_feed.errors import FeedError

__all__ = ["isolated"]

T = TypeVar("T")


def isolated(function: Callable[[], T]) -> T:
    """The function's result, or its exception; both must be such that they can be pickled."""
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(_outcome(function), pipe, protocol=pickle.HIGHEST_PROTOCOL)
            code = 0
        finally:  # a fork must never return into the feed's code
            os._exit(code)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as pipe:
            data = pipe.read()
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        status = os.waitpid(pid, 0)[1]
    if not data or status != 0:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"
        raise FeedError(f"reading the data ended with {how}; the feed may be short of memory")
    value, error = pickle.loads(data)
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


def _outcome(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return function(), None
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return None, FeedError(f"{type(error).__name__}: {error}")
        return None, error
