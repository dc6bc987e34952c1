"""The coordinator on the network: worker 0's launcher answers every launcher's reports with orders.

`POST /crew/sync` carries a report and is answered with an order: at once when there is a newer one than the report
has seen, otherwise when there is one, or when the same connection sends its next report (its heartbeat). So one
connection per launcher carries news both ways without delay, and silence on it means something.
`/SCOPE/KEY` is a key-value store. Everything needs the attempt's token.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Callable, Dict, List, Optional, Tuple

from regatta_runtime import wire
from regatta_runtime.crew.coordinator import ENDED, Coordinator, RefusedError
from regatta_runtime.crew.messages import Order, Report
from regatta_runtime.crew.store import Store, StoreFullError
from regatta_runtime.loop import Loop, Timer
from regatta_runtime.server import Connection, Server

TOKEN_HEADER = "regatta-token"
SYNC_PATH = "/crew/sync"
TICK_SECONDS = 1.0


class Service:
    """Serves one coordinator until the crew has ended and everyone has left."""

    def __init__(self, *, loop: Loop, coordinator: Coordinator, token: str) -> None:
        self._loop = loop
        self._coordinator = coordinator
        self._token = token.encode()
        self._store = Store()
        self._held: Dict[Connection, None] = {}
        self._lines: Dict[int, Connection] = {}  # each worker's newest connection: only its closing means something
        self._sent_version = coordinator.order.version
        self._generation = 0
        self._timer: Optional[Timer] = None
        self._waiting: List[Callable[[], None]] = []
        # A launcher has two, and may reconnect before its old ones are noticed.
        limit = 4 * coordinator.rules.workers + 64
        self._server = Server(loop=loop, handler=self._serve, on_close=self._closed, limit=limit)

    def open(self, port: int) -> None:
        """Listen; OSError when the port is taken."""
        self._server.listen(port)
        self._arm()

    def close(self) -> None:
        """Stop answering."""
        if self._timer:
            self._timer.cancel()
        self._server.close()

    def when_all_left(self, limit: float, callback: Callable[[], None]) -> None:
        """Call back once every other launcher has closed its connection, or after `limit` seconds."""
        self._waiting.append(callback)
        self._loop.later(limit, self._release)
        self._check_left()

    def _serve(self, connection: Connection, message: wire.Message) -> None:
        if not compare_digest(message.headers.get(TOKEN_HEADER, "").encode("utf-8", "replace"), self._token):
            _answer(connection, message, 401, b"this crew's token is missing or wrong")
            return
        connection.trusted = True
        if message.start[1] == SYNC_PATH:
            self._sync(connection, message)
        else:
            self._keep(connection, message)

    def _sync(self, connection: Connection, message: wire.Message) -> None:
        if connection in self._held:
            del self._held[connection]
            # It has seen this order: the list of all workers, the one part that grows with them, goes out once.
            self._send_order(connection, self._coordinator.current()._replace(peers=()))
        if message.start[0] != "POST":
            _answer(connection, message, 405, b"POST a report")
            return
        try:
            report = Report.from_bytes(message.body)
        except ValueError as problem:
            _answer(connection, message, 400, str(problem).encode())
            return
        try:
            self._coordinator.hear(report, address=connection.local_address, now=self._loop.now())
        except RefusedError as problem:
            _answer(connection, message, 409, str(problem).encode())
            return
        connection.tag = (report.worker, report.member)
        self._lines[report.worker] = connection
        if connection.closed:  # while the answer to the report before was sent: these are last words
            self._closed(connection)
        self._settle()
        if report.seen < self._coordinator.order.version:
            self._send_order(connection, self._coordinator.current())
        else:
            self._held[connection] = None

    def _settle(self) -> None:
        """Pass on what changed and be called again when the coordinator's next deadline is due."""
        order = self._coordinator.order
        if order.generation != self._generation:
            self._generation = order.generation
            self._store.clear()
        if order.version != self._sent_version:
            self._sent_version = order.version
            held, self._held = self._held, {}
            for connection in held:
                self._send_order(connection, order)
            self._arm()
            self._check_left()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
        # Heartbeats move deadlines all the time; looking once a second spares looking for the next at each of them.
        wait = min(self._coordinator.next_deadline() - self._loop.now(), TICK_SECONDS)
        self._timer = self._loop.later(wait, self._tick)

    def _tick(self) -> None:
        self._coordinator.tick(self._loop.now())
        self._settle()
        self._arm()

    def _closed(self, connection: Connection) -> None:
        self._held.pop(connection, None)
        if connection.tag is None:
            return
        worker, member = connection.tag
        if self._lines.get(worker) is connection:
            del self._lines[worker]
            self._coordinator.disconnected(worker, member=member, now=self._loop.now())
            self._arm()
            self._check_left()

    def _check_left(self) -> None:
        if self._coordinator.phase == ENDED and self._coordinator.all_left():
            self._release()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def _send_order(self, connection: Connection, order: Order) -> None:
        connection.send(wire.response(200, order.to_bytes(), content_type="application/json"))

    def _keep(self, connection: Connection, message: wire.Message) -> None:
        method, path, _ = message.start
        place = scope_and_key(path)
        if place is None:
            _answer(connection, message, 404, b"no such path")
        elif method == "GET":
            value = self._store.get(*place)
            _answer(connection, message, 404 if value is None else 200, value or b"")
        elif method == "PUT":
            try:
                self._store.put(*place, message.body)
            except StoreFullError as problem:
                _answer(connection, message, 507, str(problem).encode())
            else:
                _answer(connection, message, 200)
        elif method == "DELETE":
            _answer(connection, message, 200 if self._store.delete(*place) else 404)
        else:
            _answer(connection, message, 405)


def _answer(connection: Connection, message: wire.Message, status: int, body: bytes = b"") -> None:
    last = message.last or status == 401
    connection.send(wire.response(status, body, last=last), last=last)


def scope_and_key(path: str) -> Optional[Tuple[str, str]]:
    """The two parts of /SCOPE/KEY; None for any other path."""
    parts = path.split("?", 1)[0].split("/")
    if len(parts) != 3 or parts[0] or not parts[1] or not parts[2] or parts[1] == "crew":
        return None
    return parts[1], parts[2]
