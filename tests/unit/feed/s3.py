"""A real S3-compatible server (moto's) over HTTP, and a proxy before it that commits faults."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3

__all__ = ["BUCKET", "ENVIRONMENT", "S3", "Proxy"]

BUCKET = "photographs"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
FAULTS = {
    "503": b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


class S3:
    """The server, in a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        self._client.create_bucket(Bucket=BUCKET)

    def upload(self, folder: Path, prefix: str) -> str:
        """Put a folder's files below a prefix; returns its URI."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._client.put_object(
                    Bucket=BUCKET, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes()
                )
        return f"s3://{BUCKET}/{prefix}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Proxy:
    """Passes bytes on, or commits the fault that it is told: 503, 403, hang, dead, slow."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._fault = ""
        self.connections = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def commit(self, fault: str) -> None:
        """From now on, for connections that exist too."""
        self._fault = fault
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.commit("dead")
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            fault = self._fault
            if fault == "dead":
                return
            if fault in FAULTS:
                sock.recv(1 << 16)
                sock.sendall(FAULTS[fault])
                return
            if fault == "hang":
                while sock.recv(1 << 16):
                    pass
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                self._open.append(server)
                threading.Thread(target=self._pump, args=(server, sock), daemon=True).start()
                self._pump(sock, server)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096 if self._fault == "slow" else 1 << 16):
                if self._fault == "slow":
                    time.sleep(0.05)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def environment(endpoint: str) -> Iterator[None]:
    """The usual variables, for what runs in this process."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=endpoint)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
