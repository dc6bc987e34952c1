"""Workers take keys from the queue and reconcile them; the one place where a reconcile's errors are caught."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import NoReturn, Protocol

from regatta.control.logs import about
from regatta.control.queue import KeyedQueue, QueueClosed
from regatta.control.reconcile import Turn
from regatta.kube.errors import ApiError, NotLeading
from regatta.kube.store import JobKey

__all__ = ["ReconcileObserver", "resync", "work"]

_log = logging.getLogger(__name__)


class ReconcileObserver(Protocol):
    """Counts reconciles."""

    def reconciled(self, *, result: str, seconds: float) -> None:
        """One has ended."""

    def failed(self, reason: str) -> None:
        """One has failed with an exception of this class."""


async def work(
    queue: KeyedQueue[JobKey],
    reconcile: Callable[[JobKey], Awaitable[Turn]],
    *,
    confess: Callable[[JobKey, BaseException], Awaitable[None]],
    observer: ReconcileObserver,
) -> None:
    """Reconcile keys until the queue is closed. Whatever goes wrong with one key delays that key alone.

    Close the queue before you cancel this: a reconcile whose writes fail in that very moment tells of the failures
    instead of its cancellation, as task groups do, and is then one that went wrong like any other.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            key = await queue.get()
        except QueueClosed:
            return
        began = loop.time()
        result = "error"
        try:
            turn = await reconcile(key)
            result = turn.result
            queue.forget_failures(key)
            if turn.requeue_after is not None:
                queue.add_after(key, turn.requeue_after)
        except ApiError as error:
            pause = queue.add_failed(key, at_least=error.retry_after or 0.0)
            observer.failed(type(error).__name__)
            _log.warning("%s; trying again in %.1f s", error, pause, extra=about(namespace=key[0], job=key[1]))
        except Exception as error:
            queue.add_failed(key)
            cause = _only(error)
            observer.failed(type(cause).__name__)
            if isinstance(cause, NotLeading):
                _log.info("%s", cause)
            else:
                _log.exception("a reconcile failed", extra=about(namespace=key[0], job=key[1]))
                with suppress(Exception):  # what is told matters less than that it goes on
                    await confess(key, cause)
        finally:
            queue.done(key)
            observer.reconciled(result=result, seconds=loop.time() - began)


async def resync(queue: KeyedQueue[JobKey], keys: Callable[[], Iterable[JobKey]], *, seconds: float) -> NoReturn:
    """Queue every key about once in so many seconds, spread out: a net under everything that should not be missed."""
    while True:
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing
        for key in keys():
            queue.add_after(key, random.uniform(0, seconds / 10))  # noqa: S311


def _only(error: BaseException) -> BaseException:
    """The first error inside groups whose errors are all of one kind."""
    while isinstance(error, BaseExceptionGroup) and len({type(one) for one in error.exceptions}) == 1:
        error = error.exceptions[0]
    return error
