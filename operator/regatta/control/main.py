"""Entry of the operator: `python -m regatta.control.main`."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Sequence

from regatta.control import logs
from regatta.control.app import operate
from regatta.control.settings import parse
from regatta.errors import RegattaError
from regatta.kube.wire import RECURSION_LIMIT

__all__ = ["main"]

_log = logging.getLogger("regatta")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator; 0 after an orderly stop, 1 when only a new process can go on."""
    settings = parse(sys.argv[1:] if arguments is None else arguments)
    logs.configure(style=settings.log_format, level=settings.log_level)
    # A user's deeply nested object must not defeat the JSON parser of a library.
    sys.setrecursionlimit(RECURSION_LIMIT)
    # Records are many and have no cycles; the default thresholds make the collector walk them all the time.
    gc.set_threshold(200_000, 50, 100)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(operate(settings))
    except RegattaError as error:
        _log.error("%s", error)
        return 1
    except ExceptionGroup as group:
        for leaf in _leaves(group):
            if isinstance(leaf, RegattaError):
                _log.error("%s", leaf)
            else:
                _log.error("the operator failed", exc_info=leaf)
        return 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it has no wheels for some platforms
        return None
    return uvloop.new_event_loop


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """All errors of a group, those in groups inside it included."""
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


if __name__ == "__main__":
    sys.exit(main())
