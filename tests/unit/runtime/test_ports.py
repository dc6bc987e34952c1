"""A generation's port is free, new, and none that the kernel hands out by itself."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime.crew.ports import Offer, fresh_port, is_free, outside


def test_ports_are_free_and_never_given_twice() -> None:
    used: set[int] = set()
    for _ in range(50):
        port = fresh_port(frozenset(used))
        assert port not in used
        assert is_free(port)
        used.add(port)


def test_a_port_that_listens_is_not_free() -> None:
    for host in ("127.0.0.1", ""):
        with socket.create_server((host, 0)) as server:
            assert not is_free(server.getsockname()[1])


def test_an_offer_stays_while_it_is_free_and_is_never_made_again_once_taken() -> None:
    offer = Offer()
    first = offer.current()
    assert offer.current() == first
    with socket.create_server(("", first)):
        second = offer.current()
        assert second != first
    assert offer.current() == second
    offer.take()
    assert offer.current() != second


@given(st.integers(1, 65535), st.integers(1, 65535), st.integers(1, 65535), st.integers(1, 65535))
def test_the_ephemeral_range_is_cut_out(a: int, b: int, c: int, d: int) -> None:
    (first, last), (low, high) = sorted((a, b)), sorted((c, d))
    parts = outside(((first, last),), low, high)
    kept = {port for start, end in parts for port in range(start, end + 1)}
    assert kept == set(range(first, last + 1)) - set(range(low, high + 1))
