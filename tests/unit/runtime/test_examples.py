"""The examples' manifests are valid and carry, or name, the very script that lies beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from regatta.api.validate import check

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/job.yaml"))


@pytest.mark.parametrize("manifest", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_manifest_is_a_valid_job_with_the_script(manifest: Path) -> None:
    raw = yaml.safe_load(manifest.read_text())
    spec, problems = check(raw)
    assert problems == ()
    assert spec is not None
    assert spec.source is not None
    if spec.source.config_map is not None:
        command = f"kubectl create configmap {spec.source.config_map.name} "
        named = re.findall(r"--from-file=(\S+)", manifest.read_text())
        assert command in manifest.read_text()
        assert "train.py" in named
        assert all((manifest.parent / name).is_file() for name in named)
        return
    assert spec.source.inline == {"train.py": (manifest.parent / "train.py").read_text()}


def test_the_first_job_imports_nothing_of_regatta() -> None:
    assert "regatta_runtime" not in (Path(__file__).parents[3] / "examples/first-job/train.py").read_text()
