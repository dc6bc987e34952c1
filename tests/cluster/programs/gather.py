"""Finds the other workers in REGATTA_HOSTFILE, as a program with a network of its own would, and gathers their ranks.

Every worker listens on one port and tells its number to whoever connects; prints what it was told, by the lines' order.
"""

import os
import socket
import threading
import time

PORT = 7411


def answer(server: socket.socket, mine: str) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(mine.encode())


def ask(host: str) -> str:
    for _ in range(600):
        try:
            with socket.create_connection((host, PORT), timeout=5) as connection:
                return connection.recv(16).decode()
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nobody answers at {host}")


def main() -> None:
    with open(os.environ["REGATTA_HOSTFILE"]) as file:
        lines = [line.split() for line in file]
    server = socket.create_server(("0.0.0.0", PORT))
    threading.Thread(target=answer, args=(server, os.environ["REGATTA_WORKER"]), daemon=True).start()
    told = [ask(host) for host, _ in lines]
    print(f"gathered {told} with {sorted({slots for _, slots in lines})}", flush=True)
    time.sleep(2)  # the others may still have to ask


if __name__ == "__main__":
    main()
