"""The machine's limit is lifted while clusters run and is its own again afterwards."""

from pathlib import Path

import pytest

from tests.cluster.tool import limits
from tests.cluster.tool.paths import Paths


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    path = tmp_path / "max_user_instances"
    path.write_text("128\n")
    return path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "cache")
    made.cluster.mkdir(parents=True)
    return made


def test_a_low_limit_is_lifted_and_restored(paths: Paths, setting: Path) -> None:
    limits.lift(paths, setting=setting)
    assert int(setting.read_text()) == limits.ENOUGH

    paths.cluster.rmdir()
    limits.restore(paths, setting=setting)

    assert setting.read_text() == "128\n"


def test_lifting_twice_remembers_the_machines_own(paths: Paths, setting: Path) -> None:
    limits.lift(paths, setting=setting)
    limits.lift(paths, setting=setting)
    paths.cluster.rmdir()

    limits.restore(paths, setting=setting)

    assert setting.read_text() == "128\n"


def test_while_another_cluster_runs_it_stays_lifted(paths: Paths, setting: Path) -> None:
    limits.lift(paths, setting=setting)

    limits.restore(paths, setting=setting)

    assert int(setting.read_text()) == limits.ENOUGH


@pytest.mark.parametrize("own", [4096, 8192])
def test_a_limit_that_is_high_enough_is_left_alone(paths: Paths, setting: Path, own: int) -> None:
    setting.write_text(f"{own}\n")
    limits.lift(paths, setting=setting)
    paths.cluster.rmdir()

    limits.restore(paths, setting=setting)

    assert setting.read_text() == f"{own}\n"


def test_what_somebody_set_meanwhile_is_kept(paths: Paths, setting: Path) -> None:
    limits.lift(paths, setting=setting)
    setting.write_text("2048\n")
    paths.cluster.rmdir()

    limits.restore(paths, setting=setting)

    assert setting.read_text() == "2048\n"
