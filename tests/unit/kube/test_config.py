"""The connection comes from the service account or a kubeconfig, and tokens are read again in time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from regatta.errors import ConfigurationError
from regatta.kube.config import FileToken, load_in_cluster, load_kubeconfig


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_the_token_file_is_read_again_each_minute(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    clock = Clock()
    token = FileToken(file, clock=clock)
    assert await token.header() == "Bearer one"
    file.write_text("two")
    clock.now += 59
    assert await token.header() == "Bearer one"
    clock.now += 1
    assert await token.header() == "Bearer two"


async def test_a_refused_token_is_read_again_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    token = FileToken(file)
    await token.header()
    file.write_text("two")
    token.refused()
    assert await token.header() == "Bearer two"


async def test_a_token_file_that_is_gone_for_a_moment_leaves_the_token_in_use(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    token = FileToken(file)
    await token.header()
    file.unlink()
    token.refused()
    assert await token.header() == "Bearer one"


async def test_without_any_token_file_the_operator_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        await FileToken(tmp_path / "none").header()


def test_outside_a_pod_the_service_account_is_no_way_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="kubeconfig"):
        load_in_cluster(environment={}, account=tmp_path)


def test_a_pod_without_a_service_account_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="service account"):
        load_in_cluster(environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, account=tmp_path)


def kubeconfig(path: Path, **user: str) -> str:
    contexts = [
        {"name": name, "context": {"cluster": "c", "user": "u", "namespace": namespace}}
        for name, namespace in (("one", "first"), ("two", "second"))
    ]
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "one",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:8001/"}}],
                "users": [{"name": "u", "user": user}],
                "contexts": contexts,
            }
        )
    )
    return str(path)


async def test_a_kubeconfigs_server_token_and_namespace_are_used(tmp_path: Path) -> None:
    connection = load_kubeconfig(path=kubeconfig(tmp_path / "config", token="secret"))
    assert connection.server == "http://127.0.0.1:8001"
    assert connection.ssl_context is None
    assert connection.namespace == "first"
    assert await connection.credentials.header() == "Bearer secret"


async def test_another_context_can_be_named(tmp_path: Path) -> None:
    connection = load_kubeconfig(path=kubeconfig(tmp_path / "config"), context="two")
    assert connection.namespace == "second"
    assert await connection.credentials.header() is None


@pytest.mark.parametrize("context", [None, "three"], ids=["no file", "no such context"])
def test_a_kubeconfig_that_cannot_be_used_is_told(tmp_path: Path, context: str | None) -> None:
    path = kubeconfig(tmp_path / "config") if context else str(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="kubeconfig"):
        load_kubeconfig(path=path, context=context)
