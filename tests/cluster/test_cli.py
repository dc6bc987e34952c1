"""The `regatta` command against real jobs: what it shows, where it waits, and how it exits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import regatta
from tests.cluster.kit import Command, Playground, job
from tests.cluster.tool import api as tool

pytestmark = pytest.mark.cluster

SPEAKS = """\
import os
for number in range(5):
    print("line", number, "of", os.environ["RANK"], flush=True)
"""
WAITS_FOR_THE_SECOND_ATTEMPT = """\
import os, time
print("this is attempt", os.environ["REGATTA_ATTEMPT"], flush=True)
time.sleep(0 if os.environ["REGATTA_ATTEMPT"] == "2" else 300)
"""
FAILS = "import sys; print('no data found', flush=True); sys.exit(7)"


@pytest.fixture
def command(cluster: tool.Cluster, playground: Playground) -> Command:
    return Command(cluster, playground.namespace)


@pytest.fixture
def start(command: Command) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command that goes on; it does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        started.append(command.start(*arguments))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_a_watch_shows_a_job_to_its_success(playground: Playground, command: Command) -> None:
    name = playground.apply(job("fine").workers(2).source(train=SPEAKS))

    watched = command.run("watch", name, timeout=90)

    assert watched.returncode == 0, watched
    said = watched.stdout.splitlines()
    assert "Succeeded" in said[-1]
    assert len(said) == len({line[10:] for line in said}), "a line was said twice"


def test_a_watch_of_a_job_that_fails_exits_with_1_and_says_why(playground: Playground, command: Command) -> None:
    name = playground.apply(job("fails").command("python3", "-c", FAILS).budget(0))

    watched = command.run("watch", name, timeout=90)

    assert watched.returncode == 1, watched
    assert "Failed" in watched.stdout.splitlines()[-1]
    assert "exited with code 7" in watched.stdout

    told = command.run("status", name)
    assert told.returncode == 0, told
    for words in ("Failed", "UserError", "regatta logs fails", "fails-1-0"):
        assert words in told.stdout


def test_logs_hold_all_workers_each_line_under_its_own(playground: Playground, command: Command) -> None:
    name = playground.apply(job("speaks").workers(2).processes(2).source(train=SPEAKS))
    playground.wait_phase(name, "Succeeded", timeout=90)

    everything = command.run("logs", name).stdout.splitlines()
    for rank in range(4):
        mine = [line for line in everything if line.endswith(f"of {rank}")]
        assert [line.split("line ")[1] for line in mine] == [f"{number} of {rank}" for number in range(5)]
        assert all(line.startswith(f"{rank // 2}| ") for line in mine)

    second = command.run("logs", name, "--worker", "1").stdout.splitlines()
    assert second
    assert all(line.startswith("1| ") for line in second)
    assert len(command.run("logs", name, "--worker", "0", "--tail", "3").stdout.splitlines()) == 3
    assert command.run("logs", name, "--worker", "2").returncode == 2


def test_followed_logs_wait_for_the_pods_and_go_through_all_attempts(
    playground: Playground, start: Callable[..., subprocess.Popen[str]]
) -> None:
    name = playground.apply(job("again").source(train=WAITS_FOR_THE_SECOND_ATTEMPT))
    follower = start("logs", name, "--follow")
    assert follower.stdout is not None
    assert "this is attempt 1" in next(line for line in follower.stdout if "this is" in line)

    playground.api.delete("pods", "again-1-0", namespace=playground.namespace, grace=0)

    rest, errors = follower.communicate(timeout=90)
    assert follower.returncode == 0, errors
    assert "--- attempt 2 ---" in rest
    assert "this is attempt 2" in rest
    assert "this is attempt 1" not in rest
    assert playground.status(name)["phase"] == "Succeeded"


def test_a_list_shows_what_kubectl_shows(playground: Playground, command: Command) -> None:
    name = playground.apply(job("listed").workers(2).command("python3", "-c", "pass"))
    playground.wait_phase(name, "Succeeded", timeout=60)

    head, row = command.run("get").stdout.splitlines()

    assert head.split() == ["NAME", "PHASE", "REASON", "WORKERS", "ATTEMPT", "PROGRESS", "GOODPUT", "AGE"]
    assert row.split()[:2] == ["listed", "Succeeded"]
    assert command.run("get", name).stdout.splitlines()[1].split()[:2] == ["listed", "Succeeded"]
    everywhere = [line.split()[:2] for line in command.run("get", "--all-namespaces").stdout.splitlines()]
    assert [playground.namespace, "listed"] in everywhere


def test_top_and_report_tell_of_a_job_from_its_status_alone(playground: Playground, command: Command) -> None:
    name = playground.apply(job("told").workers(2).command("python3", "-c", "pass"))
    playground.wait_phase(name, "Succeeded", timeout=60)

    top = command.run("top", "--once")
    assert top.returncode == 0, top
    assert "1 Succeeded" in top.stdout.splitlines()[0]
    assert "nothing runs or waits" in top.stdout
    (row,) = [line for line in command.run("top", "--all").stdout.splitlines() if line.startswith("told ")]
    assert row.split()[1] == "Succeeded"

    page = command.run("report", name, "--output", "-")
    assert page.returncode == 0, page
    for words in ("<h1>told</h1>", "Succeeded", "2 workers, without GPUs", "from the job&#x27;s status"):
        assert words in page.stdout


@pytest.mark.parametrize("verb", ["get", "status", "explain", "watch", "logs", "report"])
def test_a_job_that_does_not_exist_is_one_line_and_1(command: Command, verb: str) -> None:
    result = command.run(verb, "nobody")

    assert result.returncode == 1
    assert '"nobody" not found' in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_versions_of_the_cluster_are_told(playground: Playground, command: Command) -> None:
    result = command.run("version")

    assert result.returncode == 0, result
    told = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert told["Command"] == regatta.__version__
    assert told["CRD"] == f"{regatta.__version__} (serves v1alpha1)"
    assert playground.installation.namespace in told["Operator"]


@pytest.mark.pitfall(30)
def test_what_render_shows_is_what_the_operator_creates(
    playground: Playground, command: Command, tmp_path: Path
) -> None:
    wanted = job("shown").workers(2).source(train=SPEAKS).set(resources={"requests": {"cpu": "10m"}})
    manifest = tmp_path / "job.yaml"
    manifest.write_text(json.dumps(wanted.obj()), encoding="utf-8")

    rendered = command.run("render", str(manifest), "--from-cluster", "--all")
    assert rendered.returncode == 0, rendered
    name = playground.apply(wanted)
    playground.wait_phase(name, "Succeeded", timeout=60)

    children = list(yaml.safe_load_all(rendered.stdout))
    assert [child["kind"] for child in children] == ["ConfigMap", "Service", "PodGroup", "Pod", "Pod"]
    for child in children:
        created = playground.api.get(
            f"{child['kind'].lower()}s", child["metadata"]["name"], namespace=playground.namespace
        )
        assert difference(child, created) == []


PLACEHOLDERS = ("ownerReferences[0].uid", "[REGATTA_UID].value", "[REGATTA_TOKEN].value")


def difference(shown: Any, created: Any, path: str = "") -> list[str]:
    """Where the created object lacks what was shown; what the API server adds is its own."""
    if path.endswith(PLACEHOLDERS):
        return []
    if isinstance(shown, Mapping) and isinstance(created, Mapping):
        pairs = [(f"{path}.{key}", value, created.get(key)) for key, value in shown.items() if value not in ([], {})]
    elif isinstance(shown, list) and isinstance(created, list) and len(shown) <= len(created):
        pairs = [(f"{path}[{label(item, index)}]", item, created[index]) for index, item in enumerate(shown)]
    else:
        return [] if shown == created else [f"{path}: shown {shown!r}, created {created!r}"]
    return [found for below, left, right in pairs for found in difference(left, right, below)]


def label(item: Any, index: int) -> str:
    """A variable's name, else the place in the list."""
    return str(item["name"]) if isinstance(item, Mapping) and "value" in item else str(index)
