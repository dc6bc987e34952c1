"""Whatever is wrong with a job is told within seconds, in words that name it, and leaves nothing behind.

All jobs that the API server takes run beside one another, so that the whole table costs as much as its slowest row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.kit import JobBuilder, Playground, job

pytestmark = pytest.mark.cluster

SECONDS = 30
"""All rows start at once on a machine of two cores; alone each is a matter of a few."""

SAYS = ("python3", "-c", "print('trained')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A job that the API server does not take, and what its message must contain."""

    title: str
    job: JobBuilder
    message: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A job that the API server takes and that cannot train, and what its status must say."""

    title: str
    job: JobBuilder
    phases: tuple[str, ...]
    reason: str
    message: tuple[str, ...]
    pods: int | None = None
    """How many pods it may hold while it waits; None where that does not matter."""
    setup: Callable[[Playground], None] | None = None
    """What makes its namespace unlike that of the others; it then has one of its own."""


def forbid_second_pod(playground: Playground) -> None:
    quota = {"metadata": {"name": "one-pod"}, "spec": {"hard": {"pods": "1"}}}
    playground.api.create("resourcequotas", quota, namespace=playground.namespace)

    def in_force() -> object:
        return (
            playground.api.get("resourcequotas", "one-pod", namespace=playground.namespace)
            .get("status", {})
            .get("used")
        )

    playground.wait("the quota to be in force", in_force, name="none", timeout=20)


REFUSED = [
    Refused(
        title="unknown framework",
        job=job("caffe").framework("Caffe").command(*SAYS),
        message=("spec.framework", "PyTorch", "Custom"),
    ),
    Refused(
        title="zero workers",
        job=job("nobody").workers(0).command(*SAYS),
        message=("spec.workers", "1"),
    ),
    Refused(
        title="a name of 64 characters",
        job=job("a" * 64).command(*SAYS),
        message=("63",),
    ),
    Refused(
        title="no command",
        job=job("mute"),
        message=("command",),
    ),
    Refused(
        title="data that is nowhere",
        job=job("early").command(*SAYS).set(preprocessing={"batchSize": 8}),
        message=("spec.preprocessing.source", "Required value"),
    ),
]

TOLD = [
    Told(
        title="an image that does not exist",
        job=job("no-image").image("localhost/there/is-no-such-image:1").command(*SAYS),
        phases=("Starting", "Queued"),
        reason="ImageError",
        message=("localhost/there/is-no-such-image:1",),
    ),
    Told(
        title="an image whose name is not one",
        job=job("bad-image-name").image("localhost/UpperCase:1").command(*SAYS),
        phases=("Failed",),
        reason="InvalidImageName",
        message=("localhost/UpperCase:1",),
    ),
    Told(
        title="a command that is not found",
        job=job("no-command").command("no-such-program"),
        phases=("Failed",),
        reason="ConfigError",
        message=("no-such-program", "not found"),
    ),
    Told(
        title="a ConfigMap that does not exist",
        job=job("no-source").command(*SAYS).set(source={"configMap": {"name": "no-such-code"}}),
        phases=("Starting",),
        reason="ConfigError",
        message=("no-such-code",),
    ),
    Told(
        title="a request that no node can satisfy",
        job=job("too-large").command(*SAYS).resources(cpu="1000"),
        phases=("Queued",),
        reason="Unschedulable",
        message=("Insufficient cpu",),
    ),
    Told(
        title="a quota that forbids the second pod",
        job=job("over-quota").workers(2).command(*SAYS),
        phases=("Queued", "Starting"),
        reason="QuotaExceeded",
        message=("exceeded quota: one-pod", "pods=1"),
        pods=0,
        setup=forbid_second_pod,
    ),
    Told(
        title="a podTemplate that breaks the trainer container",
        job=job("broken-overlay")
        .command(*SAYS)
        .set(
            podTemplate={
                "spec": {"containers": [{"name": "trainer", "volumeMounts": [{"name": "nope", "mountPath": "/n"}]}]}
            }
        ),
        phases=("Failed",),
        reason="InvalidSpec",
        message=("volumeMounts", "nope"),
    ),
]


@pytest.fixture(scope="module")
def shared(make_place: Callable[[str], Playground]) -> Playground:
    """The namespace of all jobs that need no other."""
    return make_place("bad-input")


@pytest.fixture(scope="module")
def places(make_place: Callable[[str], Playground], shared: Playground) -> dict[str, Playground]:
    """Every row of TOLD applied, by its title."""
    places = {}
    for row in TOLD:
        places[row.title] = place = make_place(row.job.name) if row.setup else shared
        if row.setup:
            row.setup(place)
        place.apply(row.job)
    return places


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.title)
def test_the_api_server_refuses_what_can_never_work(shared: Playground, row: Refused) -> None:
    message = shared.refusal(row.job)

    for words in row.message:
        assert words in message


@pytest.mark.parametrize("row", TOLD, ids=lambda row: row.title)
@pytest.mark.pitfall(1, 5, 16)
def test_the_status_says_what_keeps_a_job_from_training(places: dict[str, Playground], row: Told) -> None:
    place, name = places[row.title], row.job.name

    def told(status: dict[str, Any]) -> bool:
        return (
            status.get("phase") in row.phases
            and status.get("reason") == row.reason
            and all(words in status.get("message", "") for words in row.message)
            and (row.pods is None or len(place.pods(name)) == row.pods)
        )

    place.wait_status(name, f"{'/'.join(row.phases)}, {row.reason}, {row.message}", told, timeout=SECONDS)


@pytest.mark.parametrize("row", TOLD, ids=lambda row: row.title)
def test_a_job_that_cannot_train_leaves_nothing_when_it_is_deleted(places: dict[str, Playground], row: Told) -> None:
    places[row.title].delete(row.job.name)

    places[row.title].wait_gone(row.job.name, timeout=SECONDS)


def test_a_name_of_63_characters_trains(shared: Playground) -> None:
    name = shared.apply(job("a" * 63).workers(2).source(train="print('trained')"))

    shared.wait_phase(name, "Succeeded", timeout=60)
    pods = shared.pods(name)

    assert len({pod["metadata"]["name"] for pod in pods}) == 2
    assert all(len(pod["metadata"]["name"]) <= 63 for pod in pods)


def test_a_missing_config_map_that_appears_heals_the_job(shared: Playground) -> None:
    place = shared
    name = place.apply(job("late-source").command("python3", "train.py").set(source={"configMap": {"name": "late"}}))
    place.wait_status(name, "reason ConfigError", lambda s: s.get("reason") == "ConfigError", timeout=SECONDS)

    place.api.create(
        "configmaps",
        {"metadata": {"name": "late"}, "data": {"train.py": "print('trained')"}},
        namespace=place.namespace,
    )

    # The kubelet tries a mount again after up to two minutes and some.
    place.wait_phase(name, "Succeeded", timeout=180)
