"""At which step of the whole training a process is, where that is certain: pure, and told by whoever sees something.

A training that was restored begins somewhere. The optimizer knows where if it counts its own steps; else a checkpoint
may say it; a process that restored nothing began at the beginning. Where nobody knows, nothing is said.
"""

from __future__ import annotations

from typing import Optional, Tuple

# Who may say it; a later word counts only if it comes from a source that is no weaker.
CHECKPOINT, EPOCHS, OPTIMIZER = 1, 2, 3


class Position:
    """Counts on from where it was told."""

    def __init__(self) -> None:
        self._base: Optional[int] = None
        self._source = 0
        self._restored = False
        self._reported: Optional[Tuple[int, int]] = None

    def says(self, source: int, done: int, *, steps: int) -> None:
        """So many steps of the training are done, of which this process did `steps`."""
        if source >= self._source and 0 <= done < 2**53:
            self._base, self._source = done - steps, source

    def restored(self) -> None:
        """Something was loaded: from here on the process's own steps do not tell where it is."""
        self._restored = True

    def reported(self, done: int, *, steps: int) -> None:
        """The program's own count: taken where it counts the same things and nobody else knows better."""
        if self._source == 0 and self._reported is not None:
            told, counted = self._reported
            if steps > counted and done - told == steps - counted:
                self._base = done - steps
        self._reported = (done, steps)

    def after(self, steps: int) -> Optional[int]:
        """How many steps of the training are done when this process has done so many."""
        if self._base is not None:
            return max(0, self._base + steps)
        return None if self._restored else steps
