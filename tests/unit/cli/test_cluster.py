"""Watching through gaps, and refusals in words that say what to do."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from regatta.cli.cluster import Change, Connection, _differences, _parse, _refusal
from regatta.cli.errors import ClusterError, NotFoundError

JOBS = "/apis/regatta.dev/v1alpha1/namespaces/ml/trainingjobs"


def item(uid: str, version: str) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": version}}


def test_listing_again_tells_what_a_gap_hid_and_nothing_else() -> None:
    known: dict[str, Any] = {"same": item("same", "1"), "changed": item("changed", "1"), "gone": item("gone", "1")}

    changes = list(_differences(known, [item("same", "1"), item("changed", "2"), item("new", "3")]))

    assert changes == [Change(item("gone", "1"), deleted=True), Change(item("changed", "2")), Change(item("new", "3"))]
    assert set(known) == {"same", "changed", "new"}


@pytest.mark.parametrize(
    ("code", "body", "path", "kind", "words"),
    [
        (404, {"message": 'trainingjobs "x" not found', "details": {"name": "x"}}, JOBS, NotFoundError, "not found"),
        (404, {"message": "the server could not find the requested resource"}, JOBS, ClusterError, "install"),
        (403, {"message": "jobs is forbidden"}, JOBS, ClusterError, "not allowed: jobs is forbidden"),
        (401, {"message": "Unauthorized"}, JOBS, ClusterError, "log in again"),
        (500, {"message": "etcd"}, JOBS, ClusterError, "answered 500: etcd"),
        (502, b"<html>\x1b[2Jbad gateway", JOBS, ClusterError, "<html>bad gateway"),
        (500, b"[]", JOBS, ClusterError, "answered 500"),
        (404, {"message": "pods not found", "details": {"name": "x"}}, "/api/v1/pods", NotFoundError, "not found"),
    ],
    ids=str,
)
def test_a_refusal_says_what_to_do(code: int, body: Any, path: str, kind: type[ClusterError], words: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    error = _refusal(code, raw, path=path)

    assert type(error) is kind
    assert words in str(error)


def kubeconfig(folder: Path, namespace: str | None) -> str:
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    other = {**context, "namespace": "nb"}
    path = folder / "config"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [
                    {"name": "a", "context": context},
                    {"name": "b", "context": other},
                ],
                "current-context": "a",
            }
        ),
        encoding="utf-8",
    )
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return str(path)


@pytest.mark.parametrize(
    ("in_context", "context", "asked", "expected"),
    [
        ("na", None, None, "na"),
        ("na", None, "mine", "mine"),
        (None, None, None, "default"),
        ("na", "b", None, "nb"),
    ],
)
def test_the_namespace_is_the_one_asked_for_or_the_contexts(
    tmp_path: Path, in_context: str | None, context: str | None, asked: str | None, expected: str
) -> None:
    connection = Connection(kubeconfig=kubeconfig(tmp_path, in_context), context=context, namespace=asked)

    assert connection.open().namespace == expected


def test_a_kubeconfig_that_is_not_there_is_told() -> None:
    with pytest.raises(ClusterError, match="no file /nowhere/config"):
        Connection(kubeconfig="/nowhere/config").open()


def test_a_context_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="--context"):
        Connection(kubeconfig=kubeconfig(tmp_path, None), context="none").open()


def test_a_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"https://127\.0\.0\.1:1 does not answer"):
        Connection(kubeconfig=kubeconfig(tmp_path, None)).open().job("digits")


def test_an_answer_of_thousands_of_levels_is_read_and_nothing_else_changes() -> None:
    before = sys.getrecursionlimit()
    levels = 9000

    answer = _parse('{"a":' * levels + "1" + "}" * levels)

    for _ in range(levels):
        answer = answer["a"]
    assert answer == 1
    assert sys.getrecursionlimit() == before
