"""What `helm test` tells of an installation: that it works, or what was seen instead."""

from __future__ import annotations

from typing import Any

import pytest

from regatta.api.validate import check
from regatta.cli.selftest import Failed, manifest, run, samples

JOB = manifest(name="try", image="example.test/operator:1", pull_policy="Never")
EXPOSED = '# HELP regatta_a A.\nregatta_a{rank="0"} 1\nregatta_b_total 2\npython_info 1\n'


class World:
    """An API server whose job goes through phases, one with each look."""

    def __init__(self, *phases: str, pods: int = 2) -> None:
        self.phases = list(phases)
        self.pods = pods
        self.calls: list[tuple[str, str]] = []

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        self.calls.append((method, path))
        if "/pods" in path:
            names = (f"try-1-{index}" for index in range(self.pods))
            return {"items": [{"metadata": {"name": n}, "status": {"podIP": "10.0.0.1"}} for n in names]}
        phase = self.phases.pop(0) if method == "GET" and len(self.phases) > 1 else self.phases[0]
        return {"status": {"phase": phase, "reason": "Because", "message": "of that"}}


def seen(world: World, *, read: Any = lambda _: EXPOSED, timeout: float = 60) -> list[str]:
    lines: list[str] = []
    run(
        call=world.call,
        read=read,
        job=JOB,
        namespace="team",
        timeout=timeout,
        operator_metrics="http://operator/metrics",
        say=lines.append,
    )
    return lines


def test_its_job_is_valid_and_meets_the_restricted_standard() -> None:
    spec, problems = check(JOB)

    assert problems == ()
    assert spec is not None
    assert spec.pod_template["spec"]["securityContext"] == {"runAsNonRoot": True}


def test_it_tells_the_phases_and_the_metrics() -> None:
    lines = seen(World("Running", "Succeeded"))

    assert "metrics of try-1-1: regatta_a, regatta_b_total" in lines
    assert "metrics of the operator: regatta_a, regatta_b_total" in lines
    assert lines[-1] == "all is well"


def test_its_job_is_deleted_whatever_comes() -> None:
    world = World("Running", "Failed")
    with pytest.raises(Failed):
        seen(world)

    assert world.calls[-1] == ("DELETE", "/apis/regatta.dev/v1alpha1/namespaces/team/trainingjobs/try")


@pytest.mark.parametrize(
    ("world", "options", "complaint"),
    [
        pytest.param(World("Running", "Failed"), {}, "the job failed: Because: of that", id="a failed job"),
        pytest.param(World("Queued"), {"timeout": 0}, "last words: Queued: of that", id="a job that waits"),
        pytest.param(World("Running", "Succeeded", pods=1), {}, "1 of 2 workers", id="a worker not heard"),
        pytest.param(World("Running", "Succeeded"), {"read": lambda _: ""}, "0 of 2 workers", id="no metrics"),
    ],
)
def test_it_says_what_is_wrong(world: World, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Failed, match=complaint):
        seen(world, **options)


def test_a_worker_that_does_not_answer_yet_is_asked_again() -> None:
    answers = iter([OSError("refused"), OSError("refused")])

    def read(_: str) -> str:
        error = next(answers, None)
        if error is not None:
            raise error
        return EXPOSED

    assert seen(World("Starting", "Running", "Succeeded"), read=read)[-1] == "all is well"


def test_only_our_own_metrics_count() -> None:
    assert samples(EXPOSED) == ["regatta_a", "regatta_b_total"]
