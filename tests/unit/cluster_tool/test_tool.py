"""What the tool says, and what it keys its cache by."""

import io
from pathlib import Path

import pytest

from tests.cluster.tool import build, debian, toolchain
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.progress import Progress, duration


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0s"), (9.94, "9.9s"), (48.2, "48s"), (312, "5m12s")])
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_numbers_its_steps_and_tells_what_comes_next() -> None:
    said = io.StringIO()
    progress = Progress(stream=said)
    progress.plan(["build", "start"])

    for title in ("build", "start"):
        with progress.step(title):
            pass

    lines = [line.split("] ", 1)[1] for line in said.getvalue().splitlines()]
    assert lines == ["1/2 build; next: start", "2/2 start"]


@pytest.mark.parametrize("changed", ["main.go", "go.mod", "go.sum"])
def test_a_program_is_built_again_when_its_sources_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    folder = tmp_path / "etcd"
    folder.mkdir()
    for name in ("main.go", "go.mod", "go.sum"):
        (folder / name).touch()
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    build.forget()
    before = build.identity("etcd")

    (folder / changed).write_text("changed")
    build.forget()

    assert build.identity("etcd") != before
    build.forget()


def test_an_unknown_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no program is called kubeadm"):
        build.program(Paths(tmp_path), "kubeadm")


def test_the_needed_go_is_read_from_the_module(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.26.8\n")

    assert toolchain.required(tmp_path / "go.mod") == (1, 26, 8)


def test_missing_packages_are_named_where_they_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(ToolError, match="missing on this machine: left right\n"):
        debian.ensure({"/no/such/file": "right", "no-such-program": "left", "sh": "dash"}, progress=Progress())


@pytest.mark.parametrize("number", ["10", "-1", "one", ""])
def test_a_cluster_number_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv("REGATTA_CLUSTER", number)

    with pytest.raises(ToolError, match="REGATTA_CLUSTER is a number from 0 to 9"):
        Paths.default()
