"""Doing something in a process of its own that is gone afterwards, with its threads.

The feed's workers are forked, and threads do not live through a fork: whatever starts some (clients of storages,
tokenizers) runs here, or in a worker.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from regatta_feed.errors import FeedError

__all__ = ["isolated", "isolated_all"]

T = TypeVar("T")


def isolated(function: Callable[[], T]) -> T:
    """The function's result, or its exception; both must be such that they can be pickled."""
    return isolated_all([function])[0]


def isolated_all(functions: Sequence[Callable[[], T]]) -> list[T]:
    """The results of all, each computed in a process of its own, at the same time; else the first exception."""
    begun: list[tuple[int, int]] = []
    try:
        for function in functions:
            begun.append(_begin(function))  # noqa: PERF401 - what has begun must be known when one cannot
        results = []
        while begun:
            results.append(_end(*begun.pop(0)))
        return results
    finally:
        for pid, read in begun:
            os.kill(pid, signal.SIGKILL)
            os.close(read)
            os.waitpid(pid, 0)


def _begin(function: Callable[[], T]) -> tuple[int, int]:
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
    return pid, read


def _end(pid: int, read: int) -> Any:
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
    return value


def _outcome(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return function(), None
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return None, FeedError(f"{type(error).__name__}: {error}")
        return None, error
