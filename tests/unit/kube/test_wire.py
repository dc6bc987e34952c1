"""JSON that was made to break a parser breaks nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from regatta.kube.errors import Invalid, Unavailable
from regatta.kube.wire import RECURSION_LIMIT, decode, encode


@pytest.fixture
def operators_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(RECURSION_LIMIT)
    yield
    sys.setrecursionlimit(before)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.usefixtures("operators_limit")
def test_as_many_levels_as_an_api_server_takes_are_read() -> None:
    assert list(decode(nested(10_000))) == ["a"]


@pytest.mark.parametrize("body", [nested(200_000), b"[" * 5000, b"<html>", b"", b"[]", b"1"], ids=lambda b: repr(b[:6]))
def test_what_cannot_be_read_is_an_answer_that_did_not_come(body: bytes) -> None:
    with pytest.raises(Unavailable):
        decode(body)


def test_what_cannot_be_written_is_invalid() -> None:
    thing: object = 1
    for _ in range(1000):
        thing = [thing]
    with pytest.raises(Invalid):
        encode(thing)
