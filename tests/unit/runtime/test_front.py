"""Processes of a Horovod job meet in the crew's store without its token, each through its own launcher."""

from __future__ import annotations

import http.client
import os
import signal
import threading

import pytest

from regatta_runtime.crew.coordinator import Coordinator, Rules
from regatta_runtime.crew.front import StoreFront
from regatta_runtime.crew.messages import IDLE, Report
from regatta_runtime.crew.service import Service
from regatta_runtime.loop import Loop
from tests.unit.runtime.crew import Crew, free_port

STORE = """
import http.client
address = os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"], int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"])
def ask(method, path, body=None):
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request(method, path, body=body)
    answer = connection.getresponse()
    status, content = answer.status, answer.read()
    connection.close()
    return status, content
def until(path):
    while True:
        status, content = ask("GET", path)
        if status == 200: return content
"""


def meeting(crew: Crew, script: str, **variables: str) -> Crew:
    return crew.script(STORE + script).env(REGATTA_FRAMEWORK="Horovod", **variables)


def test_what_one_worker_puts_all_others_read(crew: Crew) -> None:
    meet = """
say("ABSENT", ask("GET", f"/global/{rank}")[0])
ask("PUT", f"/global/{rank}", bytes([rank]) * 70000)
for other in range(world): assert until(f"/global/{other}") == bytes([other]) * 70000
ask("PUT", f"/barrier/{rank}", b"")
for other in range(world): until(f"/barrier/{other}")
say("DELETED", ask("DELETE", f"/global/{rank}")[0], ask("GET", f"/global/{rank}")[0])
"""
    meeting(crew.of(3, 2), meet).start()
    assert crew.wait() == [0, 0, 0]
    assert crew.output.count("ABSENT 404") == 6
    assert crew.output.count("DELETED 200 404") == 6


def test_a_generation_finds_nothing_of_the_one_before(crew: Crew) -> None:
    meet = """
if generation == 1:
    ask("PUT", f"/global/{rank}", b"old")
    until("/global/0"); until("/global/1")
    if rank == 1: sys.exit(3)
    wait()
say("FOUND", ask("GET", "/global/0")[0], ask("GET", "/global/1")[0])
"""
    meeting(crew.of(2), meet).start()
    assert crew.wait() == [0, 0]
    assert crew.output.count("FOUND 404 404") == 2


def test_it_listens_on_the_loopback_alone_at_a_port_of_each_launchers_own(crew: Crew) -> None:
    meet = """
import socket
say("PORT", address[1])
for host in ("127.0.0.2", "::1"):
    try: socket.create_connection((host, address[1]), timeout=5)
    except OSError: say("CLOSED", host)
"""
    meeting(crew.of(2), meet).start()
    assert crew.wait() == [0, 0]
    ports = {line.split("PORT ")[1] for line in crew.output.splitlines() if "PORT " in line}
    assert len(ports) == 2
    assert (crew.output.count("CLOSED 127.0.0.2"), crew.output.count("CLOSED ::1")) == (2, 2)


def test_a_coordinator_that_does_not_answer_holds_up_requests_and_no_launcher(crew: Crew) -> None:
    meet = """
if rank == 1:
    say("asks now")
    while not os.path.exists(os.environ["GO"]): time.sleep(0.01)
    say("PUT", ask("PUT", "/global/1", b"late")[0])
else:
    say("READ", until("/global/1"))
"""
    go = crew.folder / "go"
    meeting(crew.of(2), meet, GO=str(go)).start()
    crew.until("asks now")
    os.kill(crew.launchers[0].popen.pid, signal.SIGSTOP)
    try:
        go.touch()
        assert crew.until_page("/progress", '"generation": 1', worker=1) == 200
        assert "PUT 200" not in crew.launchers[1].output
    finally:
        os.kill(crew.launchers[0].popen.pid, signal.SIGCONT)
    assert crew.wait() == [0, 0]
    assert "PUT 200" in crew.launchers[1].output
    assert "READ b'late'" in crew.launchers[0].output


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/scope/key", 405), ("GET", "/", 404), ("PUT", "/crew/sync", 404)]
)
def test_nothing_but_values_can_be_asked_for(crew: Crew, method: str, path: str, status: int) -> None:
    meeting(crew.of(1), f"say('SAID', ask({method!r}, {path!r}, b'x')[0])").start()
    assert crew.wait() == [0]
    assert f"SAID {status}" in crew.output


def test_a_value_that_the_store_does_not_take_is_told(crew: Crew) -> None:
    meeting(crew.of(1), "for number in range(300): ask('PUT', f'/global/{number}', bytes(250000))").start()
    assert crew.wait() == [0]
    assert "the crew's store refused PUT /global/" in crew.output
    assert "takes no more" in crew.output


def test_other_frameworks_have_no_such_port(crew: Crew) -> None:
    crew.of(1).script("say('PORT', os.environ.get('HOROVOD_GLOO_RENDEZVOUS_PORT'))").start()
    assert crew.wait() == [0]
    assert "PORT None" in crew.output


def test_a_broken_line_to_the_coordinator_is_asked_again() -> None:
    """The connection is cut on the coordinator's side between two requests, and while one is on its way."""
    loop, port = Loop(), free_port()
    rules = Rules((1, 1, 1), 0, 60.0, 60.0, 60.0, 60.0, frozenset(), False)
    coordinator = Coordinator(rules, now=loop.now(), pick_port=free_port)
    service = Service(loop=loop, coordinator=coordinator, token="t")
    service.open(port)
    coordinator.hear(Report(0, "m", (1, 1, 1), IDLE, 0, 0), address="", now=loop.now())
    said: list[str] = []
    front = StoreFront(loop=loop, address=("127.0.0.1", port), token="t", processes=1, say=said.append)
    front.open()
    front.begin_generation(1)
    found: list[tuple[int, bytes]] = []

    def ask() -> None:
        for method, body in (("PUT", b"value"), ("GET", b""), ("GET", b"")):
            connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
            connection.request(method, "/scope/key", body=body)
            answer = connection.getresponse()
            found.append((answer.status, answer.read()))
            connection.close()
            loop.post(cut)
        loop.post(lambda: loop.stop(0))

    def cut() -> None:
        for connection in list(service._server._connections):
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    loop.run()
    thread.join()
    front.close()
    service.close()
    loop.close()
    assert found == [(200, b""), (200, b"value"), (200, b"value")]
    assert said == []
