"""A framework is added as CONTRIBUTING says: a file on each side, a line in each table, and all else follows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.runtime.crew import free_port

REPO = Path(__file__).resolve().parents[2]

OPERATOR = '''
"""Gondola: tells each worker who stands at the oar."""

from collections.abc import Mapping

from regatta.api.spec import TrainingJobSpec
from regatta.plan.frameworks.custom import Custom

__all__ = ["Gondola"]


class Gondola(Custom):
    """The common numbers, and GONDOLA_OAR."""

    def environment(self, spec: TrainingJobSpec, *, worker: int, leader: str) -> Mapping[str, str]:
        """GONDOLA_OAR is the worker's number, beside what every program is told."""
        return {**super().environment(spec, worker=worker, leader=leader), "GONDOLA_OAR": str(worker)}
'''
RUNTIME = '''
"""Gondola: tells each process where its oar is."""

from regatta_runtime.frameworks.place import ranks


def environment(place):
    """The common numbers, and GONDOLA_OAR."""
    return {**ranks(place), "GONDOLA_OAR": str(place.rank)}
'''
LINES = (
    ("operator/regatta/api/spec.py", '    CUSTOM = "Custom"\n', '    GONDOLA = "Gondola"\n'),
    (
        "operator/regatta/plan/frameworks/__init__.py",
        "    api.Framework.CUSTOM: Custom(),\n",
        "    api.Framework.GONDOLA: Gondola(),\n",
    ),
    (
        "operator/regatta/plan/frameworks/__init__.py",
        "from regatta.plan.frameworks.custom import Custom\n",
        "from regatta.plan.frameworks.gondola import Gondola\n",
    ),
    (
        "runtime_images/regatta_runtime/frameworks/__init__.py",
        '    "Custom": custom.environment,\n',
        '    "Gondola": gondola.environment,\n',
    ),
    (
        "runtime_images/regatta_runtime/frameworks/__init__.py",
        "from regatta_runtime.frameworks.place import Place\n",
        "from regatta_runtime.frameworks import gondola\n",
    ),
)
"""File, the line after which something is added, and what."""

JOB = {
    "apiVersion": "regatta.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "row"},
    "spec": {"framework": "Gondola", "image": "registry.example/gondola:1.0", "command": ["python", "row.py"]},
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the new framework in it."""
    root = tmp_path_factory.mktemp("tree")
    for folder in ("operator", "runtime_images/regatta_runtime"):
        shutil.copytree(REPO / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "operator/regatta/plan/frameworks/gondola.py").write_text(OPERATOR)
    (root / "runtime_images/regatta_runtime/frameworks/gondola.py").write_text(RUNTIME)
    for file, after, line in LINES:
        path = root / file
        text = path.read_text()
        assert text.count(after) == 1, f"{file} no longer has the line {after!r}"
        path.write_text(text.replace(after, after + line))
    return root


def run(tree: Path, *command: str, **variables: str) -> str:
    """What a program of the copy prints; the test fails with its complaint when it fails."""
    path = os.pathsep.join(str(tree / folder) for folder in ("operator", "runtime_images"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tree), "PYTHONPATH": path, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_crd_takes_its_name(tree: Path) -> None:
    file = tree / "crd.yaml"
    run(tree, sys.executable, "-m", "regatta.api.crd", "--path", str(file))
    [version] = yaml.safe_load(file.read_text())["spec"]["versions"]
    assert "Gondola" in version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["framework"]["enum"]


@pytest.mark.parametrize("runtime", ["Auto", "Off"])
def test_the_operator_plans_its_pods(tree: Path, runtime: str) -> None:
    file = tree / f"{runtime}.yaml"
    file.write_text(yaml.safe_dump({**JOB, "spec": {**JOB["spec"], "runtime": runtime, "workers": 2}}))
    text = run(tree, sys.executable, "-c", "from regatta.cli.main import app; app()", "render", "--all", str(file))
    pods = [child for child in yaml.safe_load_all(text) if child and child["kind"] == "Pod"]
    environments = [
        {variable["name"]: variable.get("value") for variable in pod["spec"]["containers"][0]["env"]} for pod in pods
    ]
    assert [found["REGATTA_FRAMEWORK"] for found in environments] == ["Gondola", "Gondola"]
    # With the runtime it is the launcher that tells the processes.
    assert [found.get("GONDOLA_OAR") for found in environments] == (["0", "1"] if runtime == "Off" else [None, None])


def test_the_launcher_tells_its_processes(tree: Path) -> None:
    shows = 'import json, os; print("TOLD", json.dumps(dict(os.environ)), flush=True)'
    output = run(
        tree,
        *(sys.executable, "-m", "regatta_runtime", "--", sys.executable, "-c", shows),
        REGATTA_JOB="row",
        REGATTA_FRAMEWORK="Gondola",
        REGATTA_ATTEMPT="1",
        REGATTA_WORKER="0",
        REGATTA_WORKERS="1",
        REGATTA_PROCESSES="2",
        REGATTA_COORDINATOR=f"127.0.0.1:{free_port()}",
        REGATTA_TOKEN="oars",
        REGATTA_METRICS_PORT="0",
        REGATTA_TERMINATION_LOG=str(tree / "last-words"),
    )
    told = [json.loads(line.partition("TOLD ")[2]) for line in output.splitlines() if "TOLD " in line]
    assert sorted((found["RANK"], found["GONDOLA_OAR"]) for found in told) == [("0", "0"), ("1", "1")]
