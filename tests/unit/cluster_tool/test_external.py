"""A cluster the user names is used as it is."""

from pathlib import Path

import pytest

from tests.cluster.tool import external
from tests.cluster.tool.errors import ToolError


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGATTA_KUBECONFIG", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.touch()
    return path


def test_naming_none_means_a_cluster_of_our_own() -> None:
    assert external.chosen() is None


def test_regatta_kubeconfig_names_one(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
    monkeypatch.setenv("REGATTA_KUBECONFIG", str(kubeconfig))

    assert external.chosen() == external.Chosen(kubeconfig)


def test_a_plain_kubeconfig_variable_alone_is_not_touched(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    assert external.chosen() is None


def test_a_context_is_looked_for_where_kubectl_would(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{kubeconfig}:/elsewhere")

    assert external.chosen(context="kind-dev") == external.Chosen(kubeconfig, "kind-dev")


def test_a_kubeconfig_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGATTA_KUBECONFIG", str(tmp_path / "gone"))

    with pytest.raises(ToolError, match="gone does not exist"):
        external.chosen()


@pytest.mark.parametrize(
    ("context", "command"),
    [
        ("kind-dev", ["kind", "load", "image-archive", "--name", "dev"]),
        ("k3d-dev", ["k3d", "image", "import", "--cluster", "dev"]),
        ("minikube", ["minikube", "image", "load"]),
        ("production", None),
    ],
)
def test_images_are_loaded_with_the_tool_a_context_belongs_to(context: str, command: list[str] | None) -> None:
    assert external.loading(context) == command
