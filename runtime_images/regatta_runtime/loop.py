"""One thread that waits for everything: sockets, timers, signals, and calls posted by helper threads.

The launcher's whole state is touched by this thread alone, so nothing in it needs a lock.
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import signal
import socket
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

LONGEST_SLEEP = 3600.0  # what lies further ahead (a timer "never" included) is waited for in turns
READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Timer:
    """A call in the future that can still be cancelled."""

    __slots__ = ("at", "callback")

    def __init__(self, at: float, callback: Optional[Callable[[], None]]) -> None:
        self.at = at
        self.callback = callback

    def cancel(self) -> None:
        """Make sure the call never happens."""
        self.callback = None


class Loop:
    """Calls back when something is ready; `now` is its clock."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: List[Tuple[float, int, Timer]] = []
        self._sequence = 0
        self._posted: Deque[Callable[[], None]] = deque()
        self._signals: Dict[int, Callable[[int], None]] = {}
        self._result: Optional[int] = None
        self._waker, self._wake_end = socket.socketpair()
        self._waker.setblocking(False)
        self._wake_end.setblocking(False)
        self.watch(self._waker, READ, self._woken)

    @staticmethod
    def now() -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

    def watch(self, fileobj: Any, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(mask)` while `fileobj` is ready for `events`; watching again replaces both."""
        try:
            self._selector.modify(fileobj, events, callback)
        except KeyError:
            self._selector.register(fileobj, events, callback)

    def forget(self, fileobj: Any) -> None:
        """Stop watching; harmless when it was not watched."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fileobj)

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, in so many seconds."""
        timer = Timer(self.now() + max(0.0, seconds), callback)
        self._sequence += 1
        heapq.heappush(self._timers, (timer.at, self._sequence, timer))
        return timer

    def post(self, callback: Callable[[], None]) -> None:
        """Call back from the loop's thread; the one method other threads may use."""
        self._posted.append(callback)
        with contextlib.suppress(OSError):  # a full pipe wakes the loop just as well
            self._wake_end.send(b"\0")

    def on_signal(self, signum: int, callback: Callable[[int], None]) -> None:
        """Turn a signal into an ordinary call from the loop (main thread only)."""
        if not self._signals:
            signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        self._signals[signum] = callback
        signal.signal(signum, _noted)

    def stop(self, result: int) -> None:
        """Let `run` return `result` once the present callback is done."""
        self._result = result

    def run(self) -> int:
        """Serve until `stop`."""
        while self._result is None:
            # Input before timers: after this process was held up, what others sent meanwhile must be seen
            # before any deadline of theirs is judged.
            for key, mask in self._selector.select(self._patience()):
                if self._selector.get_map().get(key.fd) is key:
                    key.data(mask)
            self._run_posted()
            self._run_timers()
        return self._result

    def close(self) -> None:
        """Release the loop's own descriptors and give signals back."""
        for signum in self._signals:
            signal.signal(signum, signal.SIG_DFL)
        if self._signals:
            signal.set_wakeup_fd(-1)
        self._selector.close()
        self._waker.close()
        self._wake_end.close()

    def _patience(self) -> Optional[float]:
        if self._posted:
            return 0.0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return min(max(0.0, self._timers[0][0] - self.now()), LONGEST_SLEEP) if self._timers else None

    def _run_posted(self) -> None:
        for _ in range(len(self._posted)):
            self._posted.popleft()()

    def _run_timers(self) -> None:
        now = self.now()
        while self._timers and self._timers[0][0] <= now and self._result is None:
            _, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                callback()

    def _woken(self, mask: int) -> None:
        try:
            received = self._waker.recv(4096)
        except BlockingIOError:
            return
        for signum in sorted(set(received) - {0}):
            if signum in self._signals:
                self._signals[signum](signum)


def _noted(signum: int, frame: Any) -> None:
    """Exist, so that the signal neither kills nor is ignored; the loop hears of it through its wake-up pipe."""
