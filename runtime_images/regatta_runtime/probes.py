"""What the pod's port 9464 answers: the startup probe, health, progress for the operator, metrics for Prometheus."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, Tuple

from regatta_runtime import wire
from regatta_runtime.loop import Loop
from regatta_runtime.server import Connection, Server

JSON = "application/json"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """Serves pages made at the moment of asking from what `look()` and `total()` return."""

    def __init__(self, loop: Loop, look: Callable[[], Dict[str, Any]], measured: Callable[[], List[str]]) -> None:
        self._look = look
        self._measured = measured
        self._server = Server(loop=loop, handler=self._serve)

    def open(self, port: int) -> None:
        """Listen; OSError when the port is taken."""
        self._server.listen(port)

    def close(self) -> None:
        """Stop answering."""
        self._server.close()

    def _serve(self, connection: Connection, message: wire.Message) -> None:
        method, path, _ = message.start
        if method != "GET":
            status, body, kind = 405, b"GET only", TEXT
        else:
            status, body, kind = self._page(path.split("?", 1)[0])
        connection.send(wire.response(status, body, content_type=kind, last=message.last), last=message.last)

    def _page(self, path: str) -> Tuple[int, bytes, str]:
        if path == "/healthz":
            return 200, b"ok\n", TEXT
        seen = self._look()
        if path == "/started":
            started = seen["generation"] > 0
            return (200 if started else 503), _json({"started": started, "waiting": seen.pop("waiting")}), JSON
        if path == "/progress":
            seen.pop("waiting")
            return 200, _json(seen), JSON
        if path == "/metrics":
            return 200, _metrics(seen, self._measured()), TEXT
        return 404, b"/started, /healthz, /progress and /metrics are here\n", TEXT


def _json(value: Dict[str, Any]) -> bytes:
    return (json.dumps(value) + "\n").encode()


def _metrics(seen: Dict[str, Any], measured: List[str]) -> bytes:
    gauges: List[Tuple[str, str, str, Any]] = [
        ("regatta_runtime_generation", "gauge", "Generation of training processes (0: none yet)", "generation"),
        ("regatta_runtime_restarts_total", "counter", "In-place restarts of this attempt", "restarts"),
        ("regatta_runtime_world_size", "gauge", "Training processes of the whole crew", "worldSize"),
        ("regatta_runtime_step", "gauge", "Last step that the training script reported, else the global step", "step"),
    ]
    lines = []
    for name, kind, text, key in gauges:
        if seen.get(key) is not None:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {seen[key]}"]
    return ("\n".join(lines + measured) + "\n").encode()
