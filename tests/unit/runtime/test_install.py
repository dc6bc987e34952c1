"""The runtime's files: laid out as in its image, readable by any user, and fit for the oldest Python."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regatta_runtime.install import install, main
from tests.unit.runtime.crew import RUNTIME

SOURCES = sorted((RUNTIME / "regatta_runtime").rglob("*.py"))


def test_the_installed_folder_runs_as_the_image_does(tmp_path: Path) -> None:
    install(str(tmp_path))
    assert (tmp_path / "__main__.py").read_text() == (RUNTIME / "regatta_runtime" / "_image_main.py").read_text()
    command = [sys.executable, str(tmp_path), "--", "true"]
    run = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert run.returncode == 64
    assert "REGATTA_" in run.stderr


def test_a_users_module_named_like_a_standard_one_does_not_reach_the_launcher(tmp_path: Path) -> None:
    install(str(tmp_path / "regatta"))
    (tmp_path / "selectors.py").write_text("raise SystemExit('imported the wrong selectors')")
    run = subprocess.run(
        [sys.executable, str(tmp_path / "regatta"), "--", "true"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 64


def test_installing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    written = install(str(tmp_path))
    (tmp_path / "regatta_runtime" / "launch.py").write_text("broken")
    install(str(tmp_path))
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(written)
    assert "broken" not in (tmp_path / "regatta_runtime" / "launch.py").read_text()


def test_other_users_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        install(str(tmp_path / "a" / "b"))
    finally:
        os.umask(before)
    for path in (tmp_path / "a" / "b").rglob("*"):
        assert path.stat().st_mode & 0o004
        assert path.is_file() or path.stat().st_mode & 0o001


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file")]) == 1
    assert "cannot install into" in capsys.readouterr().err
    assert main([]) == 64


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_file_is_python_3_8(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_import_is_of_the_standard_library_or_of_the_runtime(source: Path) -> None:
    tree = ast.parse(source.read_text())
    # What torch modules are made in is imported when one is made, and not before: see test_caffe_files.py.
    theirs = {"torch"} if source.parent.name == "caffe" else set()
    # Only when a program asks for tensors, and then of the framework that it asks for.
    inside = {id(node) for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            allowed = {*sys.stdlib_module_names, "sitecustomize", "regatta_runtime", *theirs}
            if source.parent.name == "data" and id(node) in inside:
                allowed |= {"numpy", "tensorflow", "torch"}
            assert name.split(".")[0] in allowed
