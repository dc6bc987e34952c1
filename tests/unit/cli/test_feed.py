from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regatta.cli.feed import PACKAGES, checkout, feed_command, feed_environment
from regatta.errors import UsageError
from tests.unit.feed.pictures import image_folder


def test_what_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(UsageError, match=r"\(cv2\): pip install 'regatta-operator\[feed\]'"):
        feed_command([], found=lambda name: None if name == "cv2" else name)
    assert feed_command(["--spec", "x"], found=lambda name: name) == [
        sys.executable,
        "-m",
        "regatta_feed",
        "--spec",
        "x",
    ]


def test_in_a_checkout_the_feed_is_found_beside_the_operator() -> None:
    folder = checkout()
    assert folder is not None
    assert feed_environment({"PYTHONPATH": "/mine"})["PYTHONPATH"] == f"{folder}{os.pathsep}/mine"


def test_the_command_imports_nothing_of_the_feed() -> None:
    program = f"import sys, regatta.cli.main, regatta.cli.feed; print([m for m in {PACKAGES} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pipeline_runs_and_is_shown(tmp_path: Path) -> None:
    source = {"uri": str(image_folder(tmp_path / "data", 8)), "format": "ImageFolder"}
    spec = tmp_path / "pipeline.json"
    pipeline = [{"decodeImage": {}}, {"resize": {"size": [8, 8]}}, {"scale": {}}]
    spec.write_text(json.dumps({"source": source, "pipeline": pipeline, "batchSize": 4, "epochs": 1}))

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "regatta.cli.main", "feed", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    code, words = run("--spec", str(spec), "--measure", "--processes", "1")
    assert (code, "8 samples in" in words, "2 resize" in words) == (0, True, True)
    code, words = run("preview", "--spec", str(spec), "--output", str(tmp_path / "sheet.png"))
    assert (code, (tmp_path / "sheet.png").is_file()) == (0, True)
    assert run() == (2, "regatta: regatta feed wants --spec FILE\n")
    code, words = run("--spec", str(tmp_path / "missing.yaml"))
    assert (code, words) == (1, f"regatta-feed: {tmp_path}/missing.yaml cannot be read: No such file or directory\n")
