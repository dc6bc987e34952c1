"""The examples as files: valid jobs, each with the very script that lies beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from regatta.api.validate import check

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PHOTOGRAPHS = EXAMPLES / "feed-photographs"
MANIFESTS = sorted([*EXAMPLES.glob("*/job.yaml"), *PHOTOGRAPHS.glob("*.yaml")])

BACKENDS = {"pytorch": "torch"}

COMPARISON = list(yaml.safe_load_all((EXAMPLES / "compare" / "jobs.yaml").read_text()))

each_example = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def manifest(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


@each_example
def test_it_is_a_valid_job(path: Path) -> None:
    _, problems = check(manifest(path))

    assert problems == ()


@each_example
def test_it_carries_the_script_that_lies_beside_it(path: Path) -> None:
    # A ConfigMap's files are in the manifest's comment: tests/unit/runtime/test_examples.py.
    inline = manifest(path)["spec"]["source"].get("inline", {})

    beside = {"train.py": f"train_{BACKENDS.get(path.stem, path.stem)}.py"} if path.parent == PHOTOGRAPHS else {}
    assert inline == {name: (path.parent / beside.get(name, name)).read_text() for name in inline}


@pytest.mark.parametrize("job", COMPARISON, ids=lambda job: job["metadata"]["name"])
def test_each_job_of_the_comparison_is_valid_and_runs_a_script_of_its_folder(job: dict[str, Any]) -> None:
    _, problems = check(job)

    assert problems == ()
    assert (EXAMPLES / "compare" / job["spec"]["command"][-1]).exists()
