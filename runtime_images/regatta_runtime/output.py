"""Passes the training processes' output on, each line with its process's prefix, without losing or mixing any.

A thread of its own does it: when whoever reads the container's output is slow, the processes wait, as they would
have without us, while the launcher goes on answering the crew.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, Optional, Tuple

CHUNK = 64 * 1024
LINE_LIMIT = 256 * 1024  # a longer line is passed on in pieces: what we hold of a line is bounded
PARTIAL_SECONDS = 0.5  # a line that is not finished is shown after so long (a progress bar, a prompt)
TAIL_BYTES = 4096


class Sink:
    """The launcher's own stdout or stderr; knows whose unfinished line stands at its end."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.open: Optional[Stream] = None

    def write(self, data: bytes) -> None:
        """Write it all; when nobody can read it any more it is dropped, since training goes on."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.fd, view) :]
            except BlockingIOError:  # someone made our stdout non-blocking
                select.select([], [self.fd], [], 1.0)
            except OSError:
                return


class Stream:
    """One pipe from a process: the line that is being collected and the end of what went by."""

    def __init__(self, fd: int, sink: Sink, prefix: bytes) -> None:
        self.fd = fd
        self.sink = sink
        self.prefix = prefix
        self.buffer = bytearray()
        self.waiting_since = 0.0
        self.tail = b""
        self.ended = False
        self.on_end: Optional[Callable[[], None]] = None

    def feed(self, data: bytes, now: float) -> None:
        """Take in bytes and pass complete lines on."""
        self.tail = (self.tail + data)[-TAIL_BYTES:] if len(data) < TAIL_BYTES else data[-TAIL_BYTES:]
        if not self.buffer:
            self.waiting_since = now
        self.buffer += data
        end = self.buffer.rfind(b"\n") + 1
        if end:
            self._emit(bytes(self.buffer[:end]))
            del self.buffer[:end]
            self.waiting_since = now
        while len(self.buffer) >= LINE_LIMIT:
            self._emit(bytes(self.buffer[:LINE_LIMIT]) + b"\n")
            del self.buffer[:LINE_LIMIT]

    def show_partial(self, now: float) -> None:
        """Pass an unfinished line on once it has waited long enough."""
        if self.buffer and now >= self.waiting_since + PARTIAL_SECONDS:
            self._emit(bytes(self.buffer))
            self.buffer.clear()

    def finish(self) -> None:
        """Nothing more comes: end the last line."""
        if self.buffer:
            self._emit(bytes(self.buffer) + b"\n")
            self.buffer.clear()
        elif self.sink.open is self:
            self.sink.open = None
            self.sink.write(b"\n")
        self.ended = True

    def _emit(self, text: bytes) -> None:
        head = self.prefix
        if self.sink.open is self:
            head = b""  # our own unfinished line goes on
        elif self.sink.open is not None:
            head = b"\n" + self.prefix
        whole = text.endswith(b"\n")
        body = text[:-1] if whole else text
        self.sink.open = None if whole else self
        self.sink.write(head + body.replace(b"\n", b"\n" + self.prefix) + (b"\n" if whole else b""))


class Pump:
    """The thread that reads all streams; also the launcher's own mouth, so that its lines stay whole as well."""

    def __init__(self) -> None:
        out, err = Sink(1), Sink(2)
        self._sinks = {1: out, 2: out if _same_file(1, 2) else err}
        self._selector = selectors.DefaultSelector()
        self._work: Deque[Tuple[Optional[Stream], bytes]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._streams: Dict[int, Stream] = {}
        self._closing = False
        self._thread: Optional[threading.Thread] = None

    def say(self, line: str) -> None:
        """One line of the launcher's own, on stderr."""
        data = b"[regatta] " + line.encode("utf-8", "replace") + b"\n"
        if self._thread is None:
            self._sinks[2].write(data)
        else:
            self._work.append((None, data))
            self._wake()

    def stream(self, fd: int, *, onto: int, prefix: str, on_end: Callable[[], None]) -> Stream:
        """Pass `fd` on to stdout (1) or stderr (2) until its end; `on_end` is then called in the pump's thread."""
        os.set_blocking(fd, False)
        stream = Stream(fd, self._sinks[onto], prefix.encode())
        stream.on_end = on_end
        self._work.append((stream, b""))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="regatta-output", daemon=True)
            self._thread.start()
        self._wake()
        return stream

    def close(self, seconds: float) -> None:
        """Pass on what is there already, then stop, at the latest after so many seconds."""
        self._closing = True
        if self._thread is not None:
            self._wake()
            self._thread.join(seconds)
            self._thread = None

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        while True:
            closing = self._closing  # read before the pipes, so that one more round follows the request to close
            patience = None
            if closing:
                patience = 0.0
            elif any(stream.buffer for stream in self._streams.values()):
                patience = PARTIAL_SECONDS / 2  # a line that is not finished must be looked at again
            ready = [key.fd for key, _ in self._selector.select(patience)]
            if self._wake_read in ready:
                _swallow(self._wake_read)
            self._take_work()
            now = time.monotonic()
            for fd in list(self._streams) if closing else ready:
                if fd in self._streams:
                    self._read(self._streams[fd], now, everything=closing)
            for stream in self._streams.values():
                stream.show_partial(now)
            if closing:
                for stream in list(self._streams.values()):
                    self._end(stream)
                return

    def _take_work(self) -> None:
        while self._work:
            stream, line = self._work.popleft()
            if stream is None:
                sink = self._sinks[2]
                sink.write(b"\n" + line if sink.open else line)
                sink.open = None
            else:
                self._streams[stream.fd] = stream
                self._selector.register(stream.fd, selectors.EVENT_READ)

    def _read(self, stream: Stream, now: float, *, everything: bool) -> None:
        # A process that writes without pause must not keep the closing launcher for ever.
        for _ in range(256 if everything else 1):
            try:
                data = os.read(stream.fd, CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._end(stream)
                return
            stream.feed(data, now)

    def _end(self, stream: Stream) -> None:
        self._selector.unregister(stream.fd)
        del self._streams[stream.fd]
        os.close(stream.fd)
        stream.finish()
        if stream.on_end is not None:
            stream.on_end()


def _swallow(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def _same_file(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def last_words(tail: bytes, limit: int = 500) -> str:
    """What a process said at its end, for a message: the exception of its last traceback, else its last lines."""
    lines = [line.rstrip() for line in tail.decode("utf-8", "replace").replace("\r", "\n").split("\n")]
    lines = ["".join(c if c.isprintable() else " " for c in line) for line in lines]
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if starts:
        below = (i for i in range(starts[-1] + 1, len(lines)) if lines[i] and not lines[i].startswith(" "))
        first = next(below, None)
        if first is not None:
            return "\n".join(lines[first : first + 3]).strip()[:limit]
    said = [line for line in lines if line.strip()]
    return "\n".join(said[-3:])[-limit:]
