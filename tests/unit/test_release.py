"""What a release is made of: every image, each with a bill of materials, and the chart; all of one version."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import regatta
from tests import sbom
from tests.cluster.tool import images

REPO: Final = Path(__file__).resolve().parents[2]
WORKFLOW: Final = REPO / ".github" / "workflows" / "release.yaml"
OURS: Final = sorted(set(images.NAMES) - {"base"})


def test_every_image_has_a_bill() -> None:
    assert sorted(sbom.IMAGE_MATERIALS) == OURS


@pytest.mark.parametrize("image", OURS)
def test_a_bill_names_every_package_with_its_version(image: str) -> None:
    bill = sbom.bill(image)

    libraries = [each for each in bill["components"] if each["type"] == "library"]
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@\S+", each["purl"]) for each in libraries)
    assert len({each["name"] for each in libraries}) == len(libraries) == len(sbom.packages(image))
    assert {each["name"]: each.get("version") for each in bill["components"]}["regatta"] == regatta.__version__
    assert bill == sbom.bill(image), "the same contents, the same bill"


def test_an_image_that_stands_on_another_has_its_packages_too() -> None:
    assert {"keras", "torch"} <= set(sbom.packages("keras"))
    assert {"horovod", "tensorflow"} <= set(sbom.packages("horovod-tensorflow"))


def test_a_package_counts_in_the_version_that_the_images_python_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "A_b==1 ; python_full_version < '3.12'",
        "a-b==2 ; python_full_version >= '3.12'",
        "w==1 ; os_name == 'nt'",
    )
    (tmp_path / "list.txt").write_text("\n".join(lines))
    monkeypatch.setattr(sbom, "IMAGES", tmp_path)

    assert list(sbom.pinned("list.txt")) == [("a-b", "2")]
    assert list(sbom.pinned("list.txt", python="3.11")) == [("a-b", "1")]


def test_a_list_that_pins_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loose.txt").write_text("torch>=2\n")
    monkeypatch.setattr(sbom, "IMAGES", tmp_path)

    with pytest.raises(ValueError, match="torch>=2"):
        list(sbom.pinned("loose.txt"))


def instructions(dockerfile: Path) -> list[list[str]]:
    joined = dockerfile.read_text().replace("\\\n", " ")
    return [line.split() for line in joined.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("image", [name for name in OURS if name != "runtime"])
def test_an_image_runs_as_a_numbered_user_and_installs_only_what_is_pinned(image: str) -> None:
    lines = instructions(REPO / images.dockerfile(image))
    users = [line[1] for line in lines if line[0] == "USER"]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    for line in lines:
        if line[0] == "RUN" and "install" in line:
            assert {"--requirement", "--no-index"} & set(line), line


def test_the_operators_image_starts_without_a_shell() -> None:
    (entry,) = [line for line in instructions(REPO / images.dockerfile("operator")) if line[0] == "ENTRYPOINT"]

    assert json.loads(" ".join(entry[1:])) == ["python", "-m", "regatta.control.main"]


def test_chart_and_operator_have_one_version() -> None:
    chart: dict[str, Any] = yaml.safe_load((REPO / "charts" / "regatta" / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == regatta.__version__


def test_the_release_builds_every_image() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    matrices = [job["strategy"]["matrix"]["include"] for job in jobs.values() if "strategy" in job]
    built = {entry["image"] for matrix in matrices for entry in matrix}

    assert sorted(built) == OURS
