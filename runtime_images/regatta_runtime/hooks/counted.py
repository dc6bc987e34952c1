"""Which of a program's optimizers (or compiled step functions) makes its steps, where it has several."""

from __future__ import annotations

import weakref
from typing import Any, Callable, Optional

ANEW = 16  # steps of others in a row after which one of those is taken


class Counted:
    """A program with several makes one step with each; one that begins anew has a new one."""

    def __init__(self) -> None:
        self._counted: Optional[Callable[[], Any]] = None
        self._others = 0  # steps of others since the last of its own

    def is_it(self, optimizer: Any) -> bool:
        """Whether this step of this optimizer is one of the program's."""
        mine = self._counted() if self._counted is not None else None
        if mine is None or self._others > ANEW:
            self._counted, mine = weakref.ref(optimizer), optimizer
        if optimizer is not mine:
            self._others += 1
            return False
        self._others = 0
        return True
