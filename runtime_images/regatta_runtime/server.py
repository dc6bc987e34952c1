"""A small HTTP server on the launcher's loop: bounded in connections, bytes and time, so strangers cannot hurt it."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any, Callable, Optional, Set

from regatta_runtime import wire
from regatta_runtime.loop import READ, WRITE, Loop

STRANGER_SECONDS = 10.0  # how long a connection may stay that has not (yet) sent a complete, trusted request
UNSENT_LIMIT = 1024 * 1024
SWEEP_SECONDS = 2.0


class Connection:
    """One accepted connection; `trusted` lifts the time limit once the handler has recognised the sender."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._reader = wire.Reader()
        self._unsent = bytearray()
        self._closing = False
        self.closed = False
        self.trusted = False
        self.expires_at = server.loop.now() + STRANGER_SECONDS
        self.tag: Any = None  # whatever the handler wants to remember about it
        server.loop.watch(sock, READ, self._ready)

    @property
    def local_address(self) -> str:
        """The address at which the other side reached us."""
        try:
            host = str(self._sock.getsockname()[0])
        except OSError:
            return ""
        return host[7:] if host.startswith("::ffff:") else host

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Queue bytes; with `last` the connection ends after them."""
        if self.closed:
            return
        self._unsent += data
        self._closing = self._closing or last
        self.expires_at = self._server.loop.now() + STRANGER_SECONDS
        self._flush()

    def close(self) -> None:
        """End it now; the server's `on_close` hears of it once."""
        if self.closed:
            return
        self.closed = True
        self._server.loop.forget(self._sock)
        self._sock.close()
        self._server.dropped(self)

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if mask & READ and not self.closed:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self._closing:
            return
        try:
            for message in self._reader.feed(data):
                self._server.handle(self, message)
        except wire.MalformedError as problem:
            self.send(wire.response(problem.status, str(problem).encode(), last=True), last=True)

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.close()
            return
        if len(self._unsent) > UNSENT_LIMIT or (self._closing and not self._unsent):
            self.close()
            return
        self._server.loop.watch(self._sock, READ | WRITE if self._unsent else READ, self._ready)


class Server:
    """Accepts connections and hands each complete message to `handler(connection, message)`."""

    def __init__(
        self,
        *,
        loop: Loop,
        handler: Callable[[Connection, wire.Message], None],
        on_close: Optional[Callable[[Connection], None]] = None,
        limit: int = 64,
    ) -> None:
        self.loop = loop
        self._handler = handler
        self._on_close = on_close
        self._limit = limit
        self._connections: Set[Connection] = set()
        self._sock: Optional[socket.socket] = None
        self._sweeping = False

    def listen(self, port: int, *, host: str = "") -> None:
        """Open the port on this address, or on all, IPv4 and IPv6 where there is both; OSError when it is taken."""
        self._sock = socket.create_server((host, port), backlog=1024) if host else open_port(port)
        self._sock.setblocking(False)
        self.loop.watch(self._sock, READ, self._accept)

    @property
    def port(self) -> int:
        """The port that is open, 0 when none is."""
        return int(self._sock.getsockname()[1]) if self._sock else 0

    def close(self) -> None:
        """Close the port and every connection."""
        if self._sock is not None:
            self.loop.forget(self._sock)
            self._sock.close()
            self._sock = None
        for connection in list(self._connections):
            connection.close()

    def handle(self, connection: Connection, message: wire.Message) -> None:
        """Serve one message; a handler's mistake costs this connection, never the launcher."""
        if connection.closed:
            return
        try:
            self._handler(connection, message)
        except Exception as problem:
            text = f"{type(problem).__name__}: {problem}"
            connection.send(wire.response(500, text.encode("utf-8", "replace"), last=True), last=True)

    def dropped(self, connection: Connection) -> None:
        """Forget a connection that has closed."""
        self._connections.discard(connection)
        if self._on_close is not None:
            self._on_close(connection)

    def _accept(self, mask: int) -> None:
        assert self._sock is not None
        for _ in range(64):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # Out of descriptors or memory: the port stays ready, so asking again at once would be a busy loop.
                self.loop.forget(self._sock)
                self.loop.later(1.0, self._accept_again)
                return
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._make_room()
            if len(self._connections) >= self._limit:
                sock.close()
                continue
            self._connections.add(Connection(self, sock))
            if not self._sweeping:
                self._sweeping = True
                self.loop.later(SWEEP_SECONDS, self._sweep)

    def _accept_again(self) -> None:
        if self._sock is not None:
            self.loop.watch(self._sock, READ, self._accept)

    def _make_room(self) -> None:
        strangers = [c for c in self._connections if not c.trusted]
        if len(self._connections) >= self._limit and strangers:
            min(strangers, key=lambda c: c.expires_at).close()

    def _sweep(self) -> None:
        now = self.loop.now()
        for connection in [c for c in self._connections if not c.trusted and c.expires_at <= now]:
            connection.close()
        self._sweeping = bool(self._connections)
        if self._sweeping:
            self.loop.later(SWEEP_SECONDS, self._sweep)


def open_port(port: int) -> socket.socket:
    """A listening socket on every address of this machine."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise
    return socket.create_server(("", port), backlog=1024)
