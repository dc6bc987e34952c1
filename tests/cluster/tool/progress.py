"""Telling the user what is being done, for how long, and what comes next: on a terminal and in a log alike."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

HEARTBEAT: Final = 30.0
"""Seconds between signs of life of a long step; continuous integration kills what stays silent."""


def duration(seconds: float) -> str:
    """Return a duration as people write it: 4.2s, 48s, 5m12s."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


class Progress:
    """Writes one line when a step starts, one when it ends, and one every 30 seconds in between."""

    def __init__(self, *, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._begun = time.monotonic()
        self._planned: list[str] = []
        self._done = 0

    def plan(self, titles: Sequence[str]) -> None:
        """Announce steps: they number the lines and tell what comes next."""
        self._planned.extend(titles)

    def say(self, text: str) -> None:
        """Write one line."""
        print(f"[{duration(time.monotonic() - self._begun):>6}] {text}", file=self._stream, flush=True)

    @contextmanager
    def step(self, title: str, *, hint: str = "") -> Iterator[None]:
        """Frame one step; `hint` says how long it usually takes."""
        number, following = self._place(title)
        self.say(f"{number}{title}{f' ({hint})' if hint else ''}{f'; next: {following}' if following else ''}")
        begun = time.monotonic()
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(title, begun, over), daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()
        took = time.monotonic() - begun
        if took >= 1:
            self.say(f"{number}{title}: done in {duration(took)}")

    def _place(self, title: str) -> tuple[str, str]:
        if title not in self._planned:
            return "", ""
        index = self._planned.index(title, min(self._done, len(self._planned) - 1))
        self._done = index + 1
        following = self._planned[index + 1] if index + 1 < len(self._planned) else ""
        return f"{index + 1}/{len(self._planned)} ", following

    def _beat(self, title: str, begun: float, over: threading.Event) -> None:
        while not over.wait(HEARTBEAT):
            self.say(f"... still at it: {title}, {duration(time.monotonic() - begun)}")
