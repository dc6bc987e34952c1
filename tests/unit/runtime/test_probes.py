"""The pod's port answers probes, the operator and Prometheus, and survives everyone else."""

from __future__ import annotations

import json
import socket

from tests.unit.runtime.crew import Crew


def test_health_is_fine_as_long_as_the_launcher_lives(crew: Crew) -> None:
    crew.of(2).script("wait()").launch(0)
    assert crew.until_page("/healthz", "ok") == 200


def test_before_the_start_the_probe_is_told_whom_it_waits_for(crew: Crew) -> None:
    crew.of(2).script("wait()").launch(1, REGATTA_COORDINATOR="127.0.0.1:1")
    assert crew.until_page("/started", "Connection refused", worker=1) == 503
    told = json.loads(crew.launchers[1].get("/started")[1])
    assert told == {"started": False, "waiting": "waiting for worker 0 at 127.0.0.1:1 (Connection refused)"}


def test_metrics_are_prometheus_text(crew: Crew) -> None:
    crew.of(1, 3).script("wait()").start()
    crew.until("waiting in generation 1", times=3)
    status, text = crew.launchers[0].get("/metrics")
    assert status == 200
    samples = dict(line.split(" ") for line in text.splitlines() if not line.startswith("#"))
    used = {name for name in samples if name.startswith(("regatta_runtime_cpu_", "regatta_runtime_memory_"))}
    assert {name: value for name, value in samples.items() if name not in used} == {
        "regatta_runtime_generation": "1",
        "regatta_runtime_restarts_total": "0",
        "regatta_runtime_world_size": "3",
    }
    for name in samples:
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} " in text


def test_failures_are_in_progress_while_training_goes_on(crew: Crew) -> None:
    crew.of(1).script("raise ValueError('bad') if generation == 1 else wait()").start()
    crew.until("waiting in generation 2")
    crew.until_page("/progress", '"generation": 2')
    (failure,) = json.loads(crew.launchers[0].get("/progress")[1])["failures"]
    assert (failure["rank"], failure["exitCode"]) == (0, 1)
    assert failure["message"].endswith("ValueError: bad")


def test_other_paths_and_methods_are_refused(crew: Crew) -> None:
    crew.of(1).script("wait()").start()
    crew.until("waiting in generation 1")
    assert crew.launchers[0].get("/etc/passwd")[0] == 404
    with socket.create_connection(("127.0.0.1", crew.launchers[0].metrics_port), timeout=10) as sock:
        sock.sendall(b"POST /progress HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        assert sock.recv(100).startswith(b"HTTP/1.1 405 ")


def test_one_connection_may_ask_again_and_again(crew: Crew) -> None:
    crew.of(1).script("wait()").start()
    crew.until("waiting in generation 1")
    with socket.create_connection(("127.0.0.1", crew.launchers[0].metrics_port), timeout=10) as sock:
        for _ in range(3):
            sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert b"\r\n\r\nok\n" in sock.recv(1000)
