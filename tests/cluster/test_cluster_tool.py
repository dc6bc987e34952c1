"""The cluster tool on a cluster of its own beside that of the other tests: up, twice, mended, gone without a trace."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.tool import cgroups, cluster, external, outage, processes, shell, state, teardown
from tests.cluster.tool.controlplane import NODE_GRACE
from tests.cluster.tool.node import PAUSE
from tests.cluster.tool.paths import Paths

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(external.chosen() is not None, reason="a user's own cluster is never ours to break"),
]

HOSTNAME = "kubernetes.io/hostname"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "still-here"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "pause", "image": PAUSE, "imagePullPolicy": "Never"}],
    },
}


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    ours = Paths(Paths.default().cache, number=9)
    teardown.down(ours)
    yield ours
    teardown.down(ours)


@pytest.fixture(scope="module")
def kubectl(paths: Paths) -> list[str]:
    """A cluster of one node with a pod running on it."""
    cluster.up(paths, nodes=1)
    program = [str(cluster.build.program(paths, "kubectl")), "--kubeconfig", str(paths.kubeconfig)]
    # The controllers need a moment to give a new namespace its service account.
    shell.run([*program, "wait", "--for=create", "serviceaccount/default", "--timeout=30s"])
    shell.run([*program, "create", "-f", "-"], stdin=json.dumps(POD))
    shell.run([*program, "wait", "--for=condition=Ready", "pod/still-here", "--timeout=60s"])
    return program


def pids(paths: Paths) -> dict[str, int | None]:
    return cluster.health(paths).components


def test_bringing_up_what_runs_changes_nothing_and_takes_no_time(paths: Paths, kubectl: list[str]) -> None:
    before = pids(paths)

    begun = time.monotonic()
    names = cluster.up(paths, nodes=1)

    assert time.monotonic() - begun < 2
    assert names == ("node1",)
    assert pids(paths) == before


@pytest.mark.parametrize("victim", ["kubelet-node1", "kube-apiserver", "containerd-node1", "coredns"])
def test_what_died_is_started_again_and_nothing_else(paths: Paths, kubectl: list[str], victim: str) -> None:
    before = pids(paths)
    state.processes(paths).stop([victim], patience=0)
    assert not cluster.health(paths).good

    cluster.up(paths, nodes=1)

    assert cluster.health(paths).good
    assert {name for name, pid in pids(paths).items() if pid != before[name]} == {victim}
    ready = "{.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount}"
    assert shell.run([*kubectl, "get", "pod", "still-here", "-o", f"jsonpath={ready}"]) == "true 0"


def test_a_killed_node_keeps_its_object_and_comes_back_for_new_pods(paths: Paths, kubectl: list[str]) -> None:
    before = pids(paths)
    cluster.up(paths, nodes=2)
    own = {name: pid for name, pid in pids(paths).items() if pid != before.get(name)}
    containers = cgroups.processes(paths.addresses, "node1")
    assert containers

    outage.kill(paths, "node2")

    assert {name for name, pid in pids(paths).items() if pid is None} == set(own)
    assert not processes.naming(paths.node("node2"))
    assert cgroups.processes(paths.addresses, "node1") == containers
    lost = "--for=jsonpath={.spec.taints[?(@.effect=='NoExecute')].key}=node.kubernetes.io/unreachable"
    shell.run([*kubectl, "wait", lost, "node/node2", f"--timeout={NODE_GRACE + 20:.0f}s"])

    outage.revive(paths, "node2")

    assert cluster.health(paths).good
    pod = {**POD, "metadata": {"name": "after"}, "spec": {**POD["spec"], "nodeSelector": {HOSTNAME: "node2"}}}
    shell.run([*kubectl, "create", "-f", "-"], stdin=json.dumps(pod))
    shell.run([*kubectl, "wait", "--for=condition=Ready", "pod/after", "--timeout=60s"])


def test_nothing_is_left_after_the_end(paths: Paths, kubectl: list[str]) -> None:
    assert teardown.leftovers(paths), "while it runs, a cluster is seen"

    teardown.down(paths)

    assert teardown.leftovers(paths) == ()
    assert not cluster.health(paths).components


def test_ending_what_is_not_there_is_no_failure(paths: Paths) -> None:
    teardown.down(paths)
    teardown.down(paths)
