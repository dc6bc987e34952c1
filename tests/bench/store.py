"""What the rendezvous of a Horovod job costs its launchers: `python -m tests.bench.store [BYTES] [READS]`.

A coordinator, one launcher's store front and eight readers as Horovod's client is one: a connection for each read. Told
is the computing time of coordinator and front for one read, which does not depend on what else the machine does.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from regatta_runtime.crew.coordinator import Coordinator, Rules
from regatta_runtime.crew.front import StoreFront
from regatta_runtime.crew.ports import fresh_port
from regatta_runtime.crew.service import Service
from regatta_runtime.loop import Loop

READERS = 8
FOREVER = 1e6


def coordinate(port: int, ready: Any) -> None:
    """Serve as worker 0's launcher does."""
    loop = Loop()
    rules = Rules((1, 1, 1), 0, FOREVER, FOREVER, FOREVER, FOREVER, frozenset(), False)
    coordinator = Coordinator(rules, now=loop.now(), pick_port=fresh_port)
    Service(loop=loop, coordinator=coordinator, token="t").open(port)
    ready.put(port)
    loop.run()


def front(port: int, ready: Any) -> None:
    """Serve as each launcher does."""
    loop = Loop()
    store = StoreFront(loop=loop, address=("127.0.0.1", port), token="t", processes=READERS, say=print)
    store.open()
    store.begin_generation(1)
    ready.put(store.port)
    loop.run()


def ask(port: int, method: str, body: bytes = b"") -> None:
    """One request over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        head = f"{method} /global/0 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        found = b""
        while b"\r\n\r\n" not in found:
            found += sock.recv(65536)
        head, _, content = found.decode("latin-1").partition("\r\n\r\n")
        missing = int(head.lower().split("content-length: ")[1].split("\r\n")[0]) - len(content)
        while missing:
            missing -= len(sock.recv(65536))


def computed(process: Any) -> float:
    """Seconds that a process has computed so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(size: int, reads: int) -> None:
    """Print the cost of one read."""
    ready: Any = multiprocessing.Queue()
    serving = []
    port = fresh_port()
    for serve in (coordinate, front):
        serving.append(multiprocessing.Process(target=serve, args=(port, ready)))
        serving[-1].start()
        port = ready.get()
    ask(port, "PUT", bytes(size))
    before = [computed(process) for process in serving]
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(lambda _: ask(port, "GET"), range(reads)))
    costs = [1e6 * (computed(process) - start) / reads for process, start in zip(serving, before, strict=True)]
    print(f"{reads} reads of {size} bytes: coordinator {costs[0]:.0f} us, front {costs[1]:.0f} us each")
    for process in serving:
        process.kill()


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["35000", "4000"][len(sys.argv) - 1 :])))
