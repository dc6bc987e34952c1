"""Launchers find each other in any order, and say whom they wait for when they do not."""

from __future__ import annotations

import json
import socket

import pytest

from tests.unit.runtime.crew import Crew, free_port

RANKS = """
say(f"rank {rank} of {world} at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}")
"""


@pytest.mark.parametrize(
    "order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]], ids=["coordinator first", "coordinator last", "in between"]
)
def test_launchers_join_in_any_order(crew: Crew, order: list[int]) -> None:
    crew.of(3, 2).script(RANKS).start(order=order)
    assert crew.wait() == [0, 0, 0]
    masters = {line.partition(" at ")[2] for line in crew.output.splitlines() if "] rank " in line}
    assert len(masters) == 1
    assert sorted(line for line in crew.output.splitlines() if "] rank " in line) == [
        f"[{rank}] rank {rank} of 6 at {masters.copy().pop()}" for rank in range(6)
    ]


def test_nothing_starts_before_the_last_launcher_has_joined(crew: Crew) -> None:
    crew.of(3).script(RANKS).env(REGATTA_LOST_AFTER="2")
    for worker in (0, 1):
        crew.launch(worker)
    for worker in (0, 1):
        assert crew.until_page("/started", "waiting for worker 2, 2 of 3 joined", worker=worker) == 503
    assert "] rank" not in crew.output
    crew.launch(2)
    assert crew.wait() == [0, 0, 0]


def test_a_worker_that_never_comes_is_named_when_time_is_up(crew: Crew) -> None:
    crew.of(3).script(RANKS).env(REGATTA_JOIN_TIMEOUT="0.7")
    for worker in (0, 2):
        crew.launch(worker)
    assert crew.wait() == [72, 72]
    for launcher in crew.launchers.values():
        told = launcher.termination()
        assert (told["outcome"], told["cause"], told["worker"]) == ("Failed", "JoinTimeout", 1)
        assert told["message"] == "after 0.7 s still waiting for worker 1, 2 of 3 joined"


def test_a_coordinator_that_never_comes_is_named_with_the_reason(crew: Crew) -> None:
    crew.of(2).script(RANKS).env(REGATTA_JOIN_TIMEOUT="0.1", REGATTA_COORDINATOR="nowhere.invalid:9465")
    launcher = crew.launch(1)
    assert launcher.wait() == 72
    told = launcher.termination()
    assert told["cause"] == "JoinTimeout"
    assert told["message"].startswith("could not join worker 0 at nowhere.invalid:9465 within 0.1 s (")


def test_a_second_launcher_of_the_same_worker_is_turned_away(crew: Crew) -> None:
    crew.of(2).script("wait()").start()
    crew.until("waiting in generation 1", times=2)
    first = crew.launchers[1]
    second = crew.launch(1)
    assert second.wait() == 72
    assert "another launcher already joined as worker 1" in second.output
    crew.launchers[1] = first
    assert len(crew.processes()) == 2


def test_a_launcher_of_another_attempt_is_turned_away(crew: Crew) -> None:
    crew.of(2).script(RANKS)
    crew.launch(0)
    stale = crew.launch(1, REGATTA_ATTEMPT="7")
    assert stale.wait() == 72
    assert "this crew has other numbers" in stale.output
    crew.launch(1)
    assert crew.wait() == [0, 0]


def test_a_wrong_token_neither_joins_nor_harms(crew: Crew) -> None:
    crew.of(2).script(RANKS)
    crew.launch(0)
    foreign = crew.launch(1, REGATTA_TOKEN="guessed")
    assert foreign.wait() == 72
    assert "token is missing or wrong" in foreign.output
    crew.launch(1)
    assert crew.wait() == [0, 0]


@pytest.mark.parametrize(
    ("noise", "answer"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b""),
        (b"", b""),
        (b"hello\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000, b"HTTP/1.1 431 "),
        (b"POST /crew/sync HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"HTTP/1.1 413 "),
        (b"POST /crew/sync HTTP/1.1\r\nContent-Length: 5\r\n\r\n{\xff\xff\xff}", b"HTTP/1.1 401 "),
        (b"GET /scope/key HTTP/1.1\r\n\r\n", b"HTTP/1.1 401 "),
        (b"PUT /a/b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"HTTP/1.1 501 "),
    ],
    ids=["TLS", "silence", "not HTTP", "endless header", "huge content", "no token", "key without token", "chunks"],
)
def test_a_stranger_on_the_port_is_refused_and_harms_nobody(crew: Crew, noise: bytes, answer: bytes) -> None:
    crew.of(2).script(RANKS)
    crew.launch(0)
    crew.until_page("/started", "1 of 2 joined")
    with socket.create_connection(("127.0.0.1", crew.port), timeout=10) as stranger:
        stranger.sendall(noise)
        if answer:
            assert stranger.recv(100).startswith(answer)
        crew.launch(1)
        assert crew.wait() == [0, 0]


def test_many_idle_strangers_do_not_keep_the_crew_out(crew: Crew) -> None:
    crew.of(2).script(RANKS)
    crew.launch(0)
    crew.until_page("/started", "1 of 2 joined")
    strangers = [socket.create_connection(("127.0.0.1", crew.port), timeout=10) for _ in range(150)]
    crew.launch(1)
    assert crew.wait() == [0, 0]
    for stranger in strangers:
        stranger.close()


def test_32_launchers_join_and_finish(crew: Crew) -> None:
    crew.of(32).command("/bin/true").start(order=[*range(1, 32), 0])
    assert crew.wait() == [0] * 32


def test_a_taken_crew_port_is_told_and_retried(crew: Crew) -> None:
    crew.of(1).script(RANKS)
    with socket.create_server(("", crew.port)):
        launcher = crew.launch(0)
        crew.until(f"port {crew.port}, where the crew meets, cannot be opened")
    assert launcher.wait() == 0


def test_a_taken_metrics_port_is_told_and_training_goes_on(crew: Crew) -> None:
    port = free_port()
    with socket.create_server(("", port)):
        crew.of(1).script(RANKS).env(REGATTA_METRICS_PORT=str(port)).start()
        assert crew.wait() == [0]
    assert f"port {port} cannot be opened" in crew.output


def test_started_tells_the_probe_when_this_pod_trains(crew: Crew) -> None:
    crew.of(1, 2).script("wait()").start()
    crew.until("waiting in generation 1", times=2)
    status, page = crew.launchers[0].get("/started")
    assert status == 200
    assert json.loads(page) == {"started": True, "waiting": ""}
