"""A line to the API server that can be cut, or go dead so that neither side notices."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from yarl import URL

from regatta.kube.config import Connection

__all__ = ["Line"]


class Line:
    """Forwards TCP connections. Use as an async context manager; `connection` goes through it."""

    def __init__(self, connection: Connection) -> None:
        self._target = URL(connection.server)
        if connection.ssl_context is not None:
            connection.ssl_context.check_hostname = False  # the certificate need not name the line
        self._through = connection
        self._server: asyncio.Server | None = None
        self._flows: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._alive = asyncio.Event()
        self._alive.set()
        self.opened = 0
        """Connections made so far."""

    @property
    def connection(self) -> Connection:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return replace(self._through, server=f"{self._target.scheme}://127.0.0.1:{port}")

    async def __aenter__(self) -> Line:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._flows, return_exceptions=True)

    def cut(self) -> None:
        """End all connections there are; new ones work."""
        for writer in self._writers:
            writer.transport.abort()
        for flow in self._flows:
            flow.cancel()

    def go_dead(self, *, for_good: bool = False) -> None:
        """Forward nothing more on the connections there are, and say nothing; new ones work, unless for good."""
        self._alive.clear()
        if not for_good:
            self._alive = asyncio.Event()
            self._alive.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        assert self._target.host is not None
        far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            flow = asyncio.create_task(self._forward(source, sink, self._alive))
            self._flows.add(flow)
            flow.add_done_callback(self._flows.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, alive: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(2**16):
                await alive.wait()  # a dead line never lives again
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.close()
