"""`kubectl delete tj NAME` leaves nothing, and takes no longer than the pods' grace."""

from __future__ import annotations

import pytest

from tests.cluster.kit import Playground, job, program

pytestmark = pytest.mark.cluster

WAITS = program("waits")


def test_deleting_a_running_job_removes_its_pods_service_and_source_at_once(playground: Playground) -> None:
    name = playground.apply(job("willing").workers(2).source(train=WAITS))
    playground.wait_phase(name, "Running", timeout=60)
    held = playground.children(name)

    playground.delete(name)

    assert sorted(child.partition("/")[0] for child in held) == ["configmaps", "pods", "pods", "services"]
    playground.wait_gone(name, timeout=15)


def test_a_program_that_ignores_sigterm_is_gone_when_the_grace_is_over(playground: Playground) -> None:
    grace = {"spec": {"terminationGracePeriodSeconds": 4}}
    name = playground.apply(job("stubborn").source(train=WAITS).env(STUBBORN="1").set(podTemplate=grace))
    playground.wait_phase(name, "Running", timeout=60)

    playground.delete(name)

    playground.wait_gone(name, timeout=4 + 15)


def test_deleting_a_job_that_has_ended_removes_what_was_kept_for_its_logs(playground: Playground) -> None:
    name = playground.apply(job("done").source(train="print('trained')"))
    playground.wait_phase(name, "Succeeded", timeout=60)
    kept = playground.children(name)

    playground.delete(name)

    assert any(child.startswith("pods/") for child in kept)
    playground.wait_gone(name, timeout=30)
