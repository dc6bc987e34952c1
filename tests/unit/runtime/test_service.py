"""The rendezvous store over HTTP, for those who hold the attempt's token."""

from __future__ import annotations

import http.client

import pytest

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
