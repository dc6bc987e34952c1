"""The command line as a process: exit codes, streams, and no terminal needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

JOB = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: regatta.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits}
spec:
  framework: PyTorch
  workers: 2
  command: [python, train.py]
"""


def regatta(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "regatta.cli.main", *arguments], input=stdin, capture_output=True, text=True, check=False
    )


def test_render_prints_the_children_and_warns_beside_them() -> None:
    result = regatta("render", "-", stdin=JOB)

    assert result.returncode == 0, result.stderr
    assert [document["kind"] for document in yaml.safe_load_all(result.stdout)] == ["Service", "Pod"]
    assert "# and 1 more like it: digits-1-1" in result.stdout
    assert "standard input:8: warning: spec.checkpoint: none" in result.stderr


def test_render_of_a_bad_job_names_file_line_and_field(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOB.replace("workers: 2", "workers: 0\n  wrokers: 2"), encoding="utf-8")

    result = regatta("render", str(file))

    assert (result.returncode, result.stdout) == (1, "")
    assert f"{file}:10: spec.workers: 0 is too small; write at least 1" in result.stderr
    assert f"{file}:11: spec.wrokers: unknown field; write workers" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (("render", "/nowhere/job.yaml"), "", "No such file"),
        (("render", "-"), "kind: Service\n", "no TrainingJob in it"),
        (("render", "-"), "a: [", "not YAML"),
        (("render", "-", "--worker", "2"), JOB, "workers 0 to 1"),
        (("get", "--nonsense"), "", "No such option"),
        (("explain", "x", "-o", "yaml"), "", "'yaml' is not one of"),
        (("report",), "", "Missing argument"),
        (("report", "Mine"), "", "Mine is no name of a job"),
        (("report", "mine", "--prometheus", "localhost"), "", "such as http://localhost:9090"),
        (("report", "mine", "--since", "long"), "", "90m, 24h or 7d"),
        (("top", "--sort", "age"), "", "'age' is not one of"),
        (("top", "--interval", "0"), "", "greater than or equal to 1"),
        (("top", "--interval", "nan"), "", "a valid integer"),
        (("sail",), "", "No such command"),
    ],
    ids=str,
)
def test_a_wrong_call_exits_with_2_and_says_why(arguments: tuple[str, ...], stdin: str, words: str) -> None:
    result = regatta(*arguments, stdin=stdin)

    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "verb",
    [
        ("get",),
        ("status", "x"),
        ("explain", "x"),
        ("watch", "x"),
        ("logs", "x"),
        ("version",),
        ("top",),
        ("report", "x"),
    ],
    ids=str,
)
def test_without_a_cluster_every_verb_fails_in_one_line(verb: tuple[str, ...]) -> None:
    result = regatta(*verb, "--kubeconfig", "/nowhere/config")

    assert result.returncode == 1
    assert result.stderr.startswith("regatta: there is no file /nowhere/config")
    assert len(result.stderr.splitlines()) == 1


def test_the_clients_version_needs_no_cluster() -> None:
    result = regatta("version", "--client")

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Command   ")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; import regatta.cli.main as m; from typer.testing import CliRunner;"
        "assert CliRunner().invoke(m.command, ['--help']).exit_code == 0;"
        "print([name for name in ('kubernetes', 'pydantic', 'urllib3') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_output_that_nobody_reads_on_is_no_disaster() -> None:
    many = JOB.replace("workers: 2", "workers: 2000")
    script = f"{sys.executable} -m regatta.cli.main render - --all | head -1"
    result = subprocess.run(["bash", "-c", script], input=many, capture_output=True, text=True, check=False)

    assert "Traceback" not in result.stderr
    assert result.stdout.startswith("# uid")
