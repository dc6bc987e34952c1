"""A real Prometheus over the story: blocks written by promtool, rules evaluated over the past, a server to ask."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.tool import build
from tests.cluster.tool.paths import Paths
from tests.dashboards.fixture import openmetrics
from tests.dashboards.story import END, START
from tests.monitoring.rules import rendered

__all__ = ["ask", "program", "rules", "running", "write_blocks"]


def program(name: str) -> Path:
    """Prometheus or promtool, built by the cluster's tool when missing."""
    return build.program(Paths.default(), name)


def rules(folder: Path) -> Path:
    """The chart's rules as a file that Prometheus reads."""
    file = folder / "rules.yaml"
    file.write_text(rendered())
    return file


def write_blocks(folder: Path) -> None:
    """Fill a data folder with the story and with what the rules make of it."""
    text = folder / "story.txt"
    with text.open("w") as file:
        file.writelines(openmetrics())
    data = folder / "data"
    _run([program("promtool"), "tsdb", "create-blocks-from", "openmetrics", text, data])
    text.unlink()
    # A rule does not see what another of the same run has made: one run for each that builds upon others.
    rule_file = rules(folder)
    for _ in range(levels(rule_file)):
        with running(folder) as url:
            new = folder / "new"
            times = ["--start", str(START), "--end", str(END), "--output-dir", str(new), "--eval-interval", "1m"]
            _run([program("promtool"), "tsdb", "create-blocks-from", "rules", "--url", url, *times, rule_file])
        for block in new.iterdir():
            target = data / block.name
            if not target.exists():
                block.rename(target)


def levels(rule_file: Path) -> int:
    """How many rules stand upon one another at most."""
    expressions: dict[str, str] = {}
    for group in yaml.safe_load(rule_file.read_text())["groups"]:
        expressions |= {rule["record"]: str(rule["expr"]) for rule in group["rules"] if "record" in rule}

    def depth(name: str) -> int:
        below = [other for other in expressions if other != name and other in expressions[name]]
        return 1 + max(map(depth, below), default=0)

    return max(map(depth, expressions), default=0)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Serve the data folder on this machine; yields the address."""
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        # Blocks hold no sign of a series' end, as scraping leaves one: what is older than the slowest scrape is over.
        "--query.lookback-delta=61s",
        "--log.level=warn",
    ]
    log = folder / "prometheus.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(url, server, log=log)
        yield url
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(30)
        server.kill()
        server.wait()


def ask(
    url: str, expr: str, *, at: int | None = None, start: int | None = None, end: int | None = None, step: int = 60
) -> list[dict[str, Any]]:
    """The answer to a query, at a moment or over a range; raises with Prometheus' words where it refuses."""
    if at is not None:
        path, query = "query", {"query": expr, "time": str(at)}
    else:
        path, query = "query_range", {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
    body = urllib.parse.urlencode(query).encode()
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}", data=body, timeout=60) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{json.load(error).get('error')}: {expr}") from error


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", *, log: Path) -> None:
    patience = time.monotonic() + 120
    while time.monotonic() < patience:
        if server.poll() is not None:
            break
        with suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus did not become ready: {log.read_text()}")


def _run(command: list[Any]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
