"""The rendezvous store over HTTP, for those who hold the attempt's token."""

from __future__ import annotations

import http.client
import socket

import pytest

from regatta_runtime import wire
from regatta_runtime.crew.messages import IDLE, RUN, RUNNING, Order, Report
from tests.unit.runtime.crew import Crew


@pytest.fixture
def served(crew: Crew) -> Crew:
    crew.of(2).script("wait()").launch(0)
    crew.until_page("/started", "1 of 2 joined")
    return crew


def ask(crew: Crew, method: str, path: str, body: bytes = b"", *, token: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", crew.port, timeout=10)
    connection.request(method, path, body=body, headers={"Regatta-Token": crew.token if token is None else token})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_values_are_put_read_and_deleted(served: Crew) -> None:
    assert ask(served, "GET", "/scope/key")[0] == 404
    assert ask(served, "PUT", "/scope/key", b"\x00value\xff")[0] == 200
    assert ask(served, "GET", "/scope/key") == (200, b"\x00value\xff")
    assert ask(served, "GET", "/other/key")[0] == 404
    assert ask(served, "DELETE", "/scope/key")[0] == 200
    assert ask(served, "GET", "/scope/key")[0] == 404


@pytest.mark.parametrize("token", ["", "guessed", "\u00e9"])
def test_nothing_is_served_without_the_token(served: Crew, token: str) -> None:
    for method, path in (("PUT", "/scope/key"), ("GET", "/scope/key"), ("POST", "/crew/sync")):
        assert ask(served, method, path, b"x", token=token)[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/scope", 404),
        ("GET", "/a/b/c", 404),
        ("PUT", "/crew/key", 404),
        ("GET", "/crew/sync", 405),
        ("PATCH", "/scope/key", 405),
        ("POST", "/crew/sync", 400),
    ],
)
def test_what_makes_no_sense_is_refused(served: Crew, method: str, path: str, status: int) -> None:
    assert ask(served, method, path, b"[]" if method == "POST" else b"")[0] == status


def test_a_value_beyond_the_limit_is_refused(served: Crew) -> None:
    assert ask(served, "PUT", "/scope/key", bytes(300_000))[0] == 413


class Stranger:
    """Worker 1 of a crew of two, spoken for by the test."""

    def __init__(self, crew: Crew) -> None:
        self._headers = {"Host": "crew", "Regatta-Token": crew.token}
        self._sock = socket.create_connection(("127.0.0.1", crew.port), timeout=10)
        self._reader = wire.Reader()

    def report(self, state: str, *, generation: int, seen: int) -> None:
        report = Report(1, "me", (1, 2, 1), state, generation, seen, address="10.0.0.9", port=7001)
        self._sock.sendall(wire.request("POST", "/crew/sync", headers=self._headers, body=report.to_bytes()))

    def order(self) -> Order:
        while not (found := list(self._reader.feed(self._sock.recv(65536)))):
            pass
        return Order.from_bytes(found[0].body)

    def close(self) -> None:
        self._sock.close()


def test_the_list_of_all_workers_goes_out_with_the_order_to_start_and_not_with_every_heartbeat(crew: Crew) -> None:
    crew.of(2).script("wait()").env(REGATTA_FRAMEWORK="TensorFlow").launch(0)
    crew.until_page("/started", "1 of 2 joined")
    worker = Stranger(crew)
    worker.report(IDLE, generation=0, seen=0)
    start = worker.order()
    assert start.kind == RUN
    assert [peer.split(":")[0] for peer in start.peers] == ["127.0.0.1", "10.0.0.9"]
    assert start.peers[1] == "10.0.0.9:7001"
    for _ in range(2):  # an answer waits until there is news, or the next report
        worker.report(RUNNING, generation=1, seen=start.version)
    assert worker.order() == start._replace(peers=())
    worker.close()
