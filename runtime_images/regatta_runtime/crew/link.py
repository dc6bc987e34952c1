"""A launcher's line to the coordinator: reaches it, keeps reporting, passes orders on, notices when it is gone."""

from __future__ import annotations

import socket
import threading
from typing import Callable, Optional, Tuple

from regatta_runtime import wire
from regatta_runtime.crew.messages import Order
from regatta_runtime.crew.service import SYNC_PATH, TOKEN_HEADER
from regatta_runtime.loop import READ, WRITE, Loop, Timer

DIAL_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
REFUSALS = 3  # a coordinator we once had whose port now refuses connections has ended: its pod never starts it again


class Link:
    """Keeps one connection; `describe()` is asked for the launcher's state whenever a report is due."""

    def __init__(
        self,
        *,
        loop: Loop,
        address: Tuple[str, int],
        token: str,
        lost_after: float,
        describe: Callable[[], bytes],
        on_order: Callable[[Order], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._address = address
        self._token = token
        self._lost_after = lost_after
        self._describe = describe
        self._on_order = on_order
        self._on_lost = on_lost
        self._sock: Optional[socket.socket] = None
        self._reader = wire.Reader()
        self._unsent = bytearray()
        self._pause = FIRST_PAUSE
        self._refusals = 0
        self._asked_at: Optional[float] = None  # of the oldest report since the last answer
        self.joined = False  # whether the coordinator has ever answered
        self._heartbeat: Optional[Timer] = None
        self._closed = False
        self.trouble = ""  # the last reason for not being connected, for messages

    def open(self) -> None:
        """Begin to reach the coordinator, for as long as it takes."""
        # Name look-ups block, so a thread does them; it hands over a connected socket and is gone.
        threading.Thread(target=self._dial, name="regatta-dial", daemon=True).start()
        self._beat()

    @property
    def local_address(self) -> str:
        """This machine's address on the way to the coordinator; empty where there is no connection."""
        return self._sock.getsockname()[0] if self._sock is not None else ""

    def report(self) -> None:
        """Tell the coordinator of a change now."""
        if self._sock is None:
            return
        headers = {"Host": "crew", TOKEN_HEADER: self._token}
        if self._asked_at is None:
            self._asked_at = self._loop.now()
        self._unsent += wire.request("POST", SYNC_PATH, headers=headers, body=self._describe())
        self._flush()

    def close(self) -> None:
        """Hang up for good; nothing is called back any more."""
        self._closed = True
        if self._heartbeat:
            self._heartbeat.cancel()
        self._drop()

    def _dial(self) -> None:
        host, port = self._address
        try:
            sock = socket.create_connection((host, port), timeout=DIAL_SECONDS)
        except (OSError, UnicodeError) as problem:
            trouble = problem
            self._loop.post(lambda: self._unreachable(trouble))
        else:
            self._loop.post(lambda: self._connected(sock))

    def _connected(self, sock: socket.socket) -> None:
        if self._closed:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock, self._reader, self._refusals = sock, wire.Reader(), 0
        self._unsent.clear()
        self._loop.watch(sock, READ, self._ready)
        self.report()

    def _unreachable(self, problem: Exception) -> None:
        if self._closed:
            return
        self.trouble = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        if self.joined and isinstance(problem, ConnectionRefusedError):
            self._refusals += 1
            if self._refusals >= REFUSALS:
                self._lost("its port is closed")
                return
        self._redial()

    def _redial(self) -> None:
        self._loop.later(self._pause, self._dial_again)
        # Growing, or a thousand launchers that wait for a late worker 0 would keep the cluster's DNS busy.
        self._pause = min(self._pause * 1.5, 0.5 if self.joined else LONGEST_PAUSE)

    def _dial_again(self) -> None:
        if not self._closed:
            threading.Thread(target=self._dial, name="regatta-dial", daemon=True).start()

    def _beat(self) -> None:
        # Every report is answered at once, or when the next one comes. Counting from a question of our own, a launcher
        # that was itself held up does not take that for the coordinator's silence.
        if self._asked_at is not None and self._loop.now() >= self._asked_at + self._lost_after:
            self.trouble = self.trouble or f"no answer for {self._lost_after:g} s"
            if self.joined:
                self._lost(self.trouble)
                return
            self._asked_at = None
            self._broken("it accepts connections but does not answer")
        self._heartbeat = self._loop.later(self._lost_after / 5, self._beat)
        self.report()

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if not mask & READ or self._sock is None:
            return
        try:
            data = self._sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as problem:
            self._broken(problem.strerror or "connection broken")
            return
        if not data:
            self._broken("connection closed")
            return
        try:
            for message in self._reader.feed(data):
                self._answered(message)
        except (wire.MalformedError, ValueError, TypeError, AttributeError) as problem:
            self._broken(f"not a coordinator's answer ({problem})")

    def _answered(self, message: wire.Message) -> None:
        if self._closed:
            return
        status = message.start[1]
        if status == "200":
            order = Order.from_bytes(message.body)
            self.joined, self._asked_at, self._pause, self.trouble = True, None, FIRST_PAUSE, ""
            self._on_order(order)
        elif status in ("401", "409"):
            self._lost("it refused us: " + message.body.decode("utf-8", "replace")[:300])
        else:
            raise ValueError(f"status {status[:20]}")

    def _broken(self, why: str) -> None:
        self.trouble = why
        if self.joined and self._asked_at is None:
            self._asked_at = self._loop.now()  # being without a connection is silence as well
        self._drop()
        self._redial()

    def _lost(self, why: str) -> None:
        self.close()
        self._on_lost(why)

    def _drop(self) -> None:
        if self._sock is not None:
            self._loop.forget(self._sock)
            self._sock.close()
            self._sock = None

    def _flush(self) -> None:
        assert self._sock is not None
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as problem:
            self._broken(problem.strerror or "connection broken")
            return
        self._loop.watch(self._sock, READ | WRITE if self._unsent else READ, self._ready)
