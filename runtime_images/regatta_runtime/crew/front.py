"""The crew's key-value store for processes that cannot show its token: each launcher offers it on its own loopback.

Horovod's client sends a bare `GET /SCOPE/KEY`. The launcher passes it on to the coordinator with the attempt's token,
in a scope of the generation that runs, so nobody outside of the pod needs to be let in, and nothing that an older
generation wrote is ever found. Requests wait here while the coordinator cannot be reached; the launcher does not.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import Callable, Deque, NamedTuple, Optional, Tuple

from regatta_runtime import wire
from regatta_runtime.crew.service import TOKEN_HEADER, scope_and_key
from regatta_runtime.loop import READ, WRITE, Loop
from regatta_runtime.server import Connection, Server

LOOPBACK = "127.0.0.1"
DIAL_SECONDS = 5.0
REDIAL_SECONDS = 0.2
# On the way at a time: their answers together stay below what a server holds unsent for one connection.
DEPTH = 3
# Horovod asks for a value that is not there yet every 10 ms, from each process; that many need not reach worker 0.
ABSENT_SECONDS = 0.05


class _Ask(NamedTuple):
    """One request of a process, ready to be passed on."""

    connection: Connection
    message: wire.Message
    data: bytes


class StoreFront:
    """Serves `GET`, `PUT` and `DELETE` of /SCOPE/KEY to this machine alone, once a generation has begun."""

    def __init__(
        self, *, loop: Loop, address: Tuple[str, int], token: str, processes: int, say: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._address = address
        self._token = token
        self._say = say
        self._server = Server(loop=loop, handler=self._serve, limit=4 * processes + 64)
        self._prefix = ""
        self._waiting: Deque[_Ask] = deque()
        self._sent: Deque[_Ask] = deque()  # in the order in which their answers come
        self._sock: Optional[socket.socket] = None
        self._reader = wire.Reader()
        self._unsent = bytearray()
        self._dialing = False
        self._closed = False
        self._told = False

    def open(self) -> None:
        """Listen on a port of the kernel's choice."""
        self._server.listen(0, host=LOOPBACK)

    @property
    def port(self) -> int:
        """Where it listens, 0 when it does not."""
        return self._server.port

    def begin_generation(self, generation: int) -> None:
        """From now on serve this generation; what an older one still asked for is dropped."""
        self._prefix = f"generation-{generation}."
        self._waiting.clear()
        self._drop()
        self._sent.clear()

    def close(self) -> None:
        """Stop answering."""
        self._closed = True
        self._server.close()
        self._drop()

    def _serve(self, connection: Connection, message: wire.Message) -> None:
        method, path, _ = message.start
        place = scope_and_key(path)
        if place is None or not self._prefix:
            _answer(connection, message, 404)
        elif method not in ("GET", "PUT", "DELETE"):
            _answer(connection, message, 405)
        else:
            connection.trusted = True  # it may wait as long as the coordinator does not answer
            headers = {"Host": "crew", TOKEN_HEADER: self._token}
            scope, key = place
            data = wire.request(method, f"/{self._prefix}{scope}/{key}", headers=headers, body=message.body)
            self._waiting.append(_Ask(connection, message, data))
            self._pass_on()

    def _pass_on(self) -> None:
        if self._sock is None:
            if self._waiting and not self._dialing and not self._closed:
                self._dialing = True
                # A name look-up blocks, so a thread does it; it hands over a connected socket and is gone.
                threading.Thread(target=self._dial, name="regatta-store", daemon=True).start()
            return
        while self._waiting and len(self._sent) < DEPTH:
            ask = self._waiting.popleft()
            if not ask.connection.closed:
                self._sent.append(ask)
                self._unsent += ask.data
        self._flush()

    def _dial(self) -> None:
        try:
            sock = socket.create_connection(self._address, timeout=DIAL_SECONDS)
        except (OSError, UnicodeError):
            self._loop.post(lambda: self._loop.later(REDIAL_SECONDS, self._dialed))
        else:
            self._loop.post(lambda: self._dialed(sock))

    def _dialed(self, sock: Optional[socket.socket] = None) -> None:
        self._dialing = False
        if sock is not None and self._closed:
            sock.close()
        elif sock is not None:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock = sock
            self._loop.watch(sock, READ, self._ready)
        self._pass_on()

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if not mask & READ or self._sock is None:
            return
        try:
            data = self._sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._broken()
            return
        try:
            answers = self._reader.feed(data)
        except wire.MalformedError:
            self._broken()
            return
        for answer in answers:
            if self._sent:
                self._answered(self._sent.popleft(), answer)
        self._pass_on()

    def _answered(self, ask: _Ask, answer: wire.Message) -> None:
        status = int(answer.start[1]) if answer.start[1].isdigit() else 500
        if status not in (200, 404) and not self._told:
            self._told = True
            words = answer.body.decode("utf-8", "replace")[:200]
            self._say(f"the crew's store refused {ask.message.start[0]} {ask.message.start[1]}: {status} {words}")
        wait = ABSENT_SECONDS if status == 404 and ask.message.start[0] == "GET" else 0.0
        if wait:
            self._loop.later(wait, lambda: _answer(ask.connection, ask.message, status))
        else:
            _answer(ask.connection, ask.message, status, answer.body)

    def _flush(self) -> None:
        if self._sock is None:
            return
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._broken()
            return
        self._loop.watch(self._sock, READ | WRITE if self._unsent else READ, self._ready)

    def _broken(self) -> None:
        """Ask again what was on its way: to set, read or delete a value twice is as good as once."""
        self._drop()
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._dialing = True
        self._loop.later(REDIAL_SECONDS, self._dialed)

    def _drop(self) -> None:
        if self._sock is not None:
            self._loop.forget(self._sock)
            self._sock.close()
            self._sock = None
        self._reader = wire.Reader()
        self._unsent.clear()


def _answer(connection: Connection, message: wire.Message, status: int, body: bytes = b"") -> None:
    connection.send(wire.response(status, body, last=message.last), last=message.last)
