"""HTTP without I/O: whatever arrives, in whatever pieces, gives messages or one clear refusal."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime import wire

BODIES = st.lists(st.binary(max_size=200), min_size=1, max_size=5)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(bodies=BODIES, cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_requests_come_out_as_they_went_in_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(wire.request("POST", f"/{n}", headers={"X-N": str(n)}, body=b) for n, b in enumerate(bodies))
    reader = wire.Reader()
    messages = [message for piece in pieces(data, cuts) for message in reader.feed(piece)]
    assert [m.body for m in messages] == bodies
    assert [(m.start, m.headers["x-n"]) for m in messages] == [
        (("POST", f"/{n}", "HTTP/1.1"), str(n)) for n in range(len(bodies))
    ]
    assert not reader.busy


@given(bodies=BODIES, cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_responses_as_well(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(wire.response(200, body) for body in bodies)
    reader = wire.Reader()
    messages = [message for piece in pieces(data, cuts) for message in reader.feed(piece)]
    assert [(m.start[1], m.body) for m in messages] == [("200", body) for body in bodies]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_garbage_is_refused_and_never_kept_without_bound(chunks: list[bytes]) -> None:
    reader = wire.Reader(head_limit=256, body_limit=512)
    with contextlib.suppress(wire.MalformedError):
        for chunk in chunks:
            for message in reader.feed(chunk):
                assert len(message.body) <= 512
            assert len(reader._buffer) <= 256 + 512 + 300


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000, 431),
    ],
)
def test_what_cannot_be_served_has_its_status(data: bytes, status: int) -> None:
    with pytest.raises(wire.MalformedError) as problem:
        wire.Reader().feed(data)
    assert problem.value.status == status
