"""Creates, deletes and status writes do exactly what a plan means, and tell exactly what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from regatta.control.apply import Applier
from regatta.control.audit import JobAudit
from regatta.control.events import EventSink
from regatta.control.inspect import latest_warnings
from regatta.control.jobs import JobCache
from regatta.kube.client import Client
from regatta.kube.errors import Conflict, NotFound
from regatta.kube.records import pod_facts
from regatta.kube.resources import PODS, TRAINING_JOBS
from regatta.kube.store import PodStore
from regatta.plan.model import Create, Delete, Event, FailureKind, Outcome
from tests.builders import job as planned_job
from tests.builders import manifest
from tests.cluster.machine_room.conftest import Place, pod
from tests.cluster.machine_room.line import Line

pytestmark = pytest.mark.cluster


def wanted(place: Place, name: str) -> Create:
    return Create(kind="Pod", name=name, body=pod(name, owner=place.owner))


def applier(place: Place, client: Client | None = None) -> tuple[Applier, PodStore]:
    store = PodStore(changed=lambda _: None)
    return Applier(client or place.client, store), store


async def apply(place: Place, *creates: Create, **more: Any) -> Outcome:
    return await applier(place)[0].apply((place.namespace, "job-a"), creates=creates, **more)


def failed(outcome: Outcome) -> dict[str, FailureKind]:
    return {failure.name: failure.failure for failure in outcome.failures}


async def test_what_was_created_is_known_at_once(place: Place) -> None:
    apply_, store = applier(place)
    outcome = await apply_.apply(
        (place.namespace, "job-a"), creates=tuple(wanted(place, f"a-1-{n}") for n in range(20))
    )
    assert {made.name for made in outcome.created} == {f"a-1-{n}" for n in range(20)}
    assert outcome.failures == ()
    assert set(store.pods((place.namespace, "job-a"))) == set(outcome.created)


async def test_creating_again_accepts_what_is_ours(place: Place) -> None:
    first = await apply(place, wanted(place, "a-1-0"))
    second = await apply(place, wanted(place, "a-1-0"))
    assert second.failures == ()
    assert [made.uid for made in second.created] == [made.uid for made in first.created]


@pytest.mark.parametrize(
    "whose",
    ["nobody's", "another job's", "another attempt's"],
)
async def test_a_name_that_something_else_has_is_told_and_left_alone(place: Place, whose: str) -> None:
    foreign = {
        "nobody's": pod("a-1-0"),
        "another job's": pod("a-1-0", owner=place.make_owner("other"), owner_name="other"),
        "another attempt's": pod("a-1-0", owner=place.owner, attempt="7"),
    }
    theirs = place.api.create("pods", foreign[whose], namespace=place.namespace)
    outcome = await apply(place, wanted(place, "a-1-0"), wanted(place, "a-1-1"))
    assert failed(outcome) == {"a-1-0": FailureKind.NAME_TAKEN}
    assert [made.name for made in outcome.created] == ["a-1-1"]
    assert place.api.get("pods", "a-1-0", namespace=place.namespace)["metadata"]["uid"] == theirs["metadata"]["uid"]


async def test_a_pod_that_still_terminates_is_told_apart(place: Place) -> None:
    held = pod("a-1-0", owner=place.owner, finalizers=["regatta.dev/test"])
    place.api.create("pods", held, namespace=place.namespace)
    place.api.delete("pods", "a-1-0", namespace=place.namespace, grace=0)
    outcome = await apply(place, wanted(place, "a-1-0"))
    assert failed(outcome) == {"a-1-0": FailureKind.TERMINATING}
    place.api.patch("pods", "a-1-0", {"metadata": {"finalizers": None}}, namespace=place.namespace)


async def test_an_invalid_pod_is_refused_once_and_not_a_hundred_times(place: Place) -> None:
    seen: list[int] = []

    def observe(*, verb: str, resource: str, code: int, seconds: float) -> None:
        seen.append(code)

    bad = [wanted(place, f"a-1-{n}") for n in range(100)]
    for create in bad:
        create.body["spec"]["containers"][0]["image"] = ""
    async with Client(place.connection, observer=observe) as client:
        outcome = await applier(place, client)[0].apply((place.namespace, "job-a"), creates=tuple(bad))
    assert set(failed(outcome).values()) == {FailureKind.INVALID}
    assert len(outcome.failures) == 100
    assert "image" in outcome.failures[0].message
    assert seen == [422]


async def test_a_quota_holds_the_rest_back_with_the_servers_words(place: Place) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "2"}}}
    place.api.create("resourcequotas", quota, namespace=place.namespace)
    while "used" not in place.api.get("resourcequotas", "small", namespace=place.namespace).get("status", {}):
        await asyncio.sleep(0.1)
    outcome = await apply(place, *(wanted(place, f"a-1-{n}") for n in range(100)))
    assert len(outcome.created) == 2
    assert set(failed(outcome).values()) == {FailureKind.QUOTA_EXCEEDED}
    assert len(outcome.failures) == 98
    assert "exceeded quota: small" in outcome.failures[0].message
    assert len(place.api.list("pods", namespace=place.namespace)) == 2


async def test_a_namespace_that_is_not_there_is_told(place: Place) -> None:
    outcome = await applier(place)[0].apply(("no-such-namespace", "job-a"), creates=(wanted(place, "a-1-0"),))
    assert failed(outcome) == {"a-1-0": FailureKind.NAMESPACE_GONE}


async def test_without_its_service_no_pod_is_created(place: Place) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "job-a"}, "spec": {"clusterIP": "rubbish"}}
    outcome = await apply(place, Create(kind="Service", name="job-a", body=service), wanted(place, "a-1-0"))
    assert failed(outcome) == {"job-a": FailureKind.INVALID, "a-1-0": FailureKind.INVALID}
    assert place.api.list("pods", namespace=place.namespace) == []


async def test_a_create_through_a_line_that_is_cut_makes_one_pod_each(place: Place) -> None:
    async with Line(place.connection) as line, Client(line.connection) as client:
        creating = asyncio.create_task(
            applier(place, client)[0].apply(
                (place.namespace, "job-a"), creates=tuple(wanted(place, f"a-1-{n}") for n in range(60))
            )
        )
        for _ in range(3):
            await asyncio.sleep(0.05)
            line.cut()
        outcome = await creating
    assert outcome.failures == ()
    assert len({made.uid for made in outcome.created}) == 60
    assert len(place.api.list("pods", namespace=place.namespace)) == 60


async def test_a_delete_hits_the_uid_it_names_and_nothing_else(place: Place) -> None:
    first = place.api.create("pods", pod("a"), namespace=place.namespace)["metadata"]["uid"]
    place.api.delete("pods", "a", namespace=place.namespace, grace=0)
    second = place.api.create("pods", pod("a"), namespace=place.namespace)["metadata"]["uid"]
    await apply(place, deletes=(Delete(kind="Pod", name="a", uid=first), Delete(kind="Pod", name="b", uid=first)))
    assert place.api.get("pods", "a", namespace=place.namespace)["metadata"]["uid"] == second
    await apply(place, deletes=(Delete(kind="Pod", name="a", uid=second, grace_seconds=0),))
    assert place.api.find("pods", "a", namespace=place.namespace) is None


def training_job(place: Place, name: str = "job-a") -> dict[str, Any]:
    body = manifest(name, framework="Custom", image="localhost/none:1")
    return {**body, "metadata": {"name": name}}


async def test_a_status_is_never_written_upon_a_version_that_nobody_saw(place: Place) -> None:
    made = place.api.create("trainingjobs", training_job(place), namespace=place.namespace)
    old = {"resourceVersion": made["metadata"]["resourceVersion"]}
    place.api.patch("trainingjobs", "job-a", {"metadata": {"labels": {"a": "b"}}}, namespace=place.namespace)
    for name, error in (("job-a", Conflict), ("job-b", NotFound)):
        with pytest.raises(error):
            await place.client.patch_status(
                TRAINING_JOBS,
                namespace=place.namespace,
                name=name,
                patch={"metadata": old, "status": {"phase": "Queued"}},
            )


async def test_the_audit_finds_what_the_stream_of_jobs_missed(place: Place) -> None:
    jobs = JobCache()
    told: list[tuple[str, str]] = []
    audit = JobAudit(place.client, jobs, changed=told.append, scopes=(place.namespace,), settle=0.1)
    await audit.refresh()
    assert await audit.compare() == 0
    place.api.create("trainingjobs", training_job(place), namespace=place.namespace)
    assert await audit.compare() == 1
    cached = jobs.get((place.namespace, "job-a"))
    assert cached is not None
    assert cached.job.spec is not None  # its status is the business of whichever operator is installed
    place.api.delete("trainingjobs", "job-a", namespace=place.namespace)
    assert await audit.compare() == 1
    assert len(jobs) == 0
    assert told == [(place.namespace, "job-a")] * 2


async def test_an_event_that_is_told_again_is_counted(place: Place) -> None:
    job = replace(planned_job().obj(), namespace=place.namespace)
    sink = EventSink(place.client, instance="test")
    posting = asyncio.create_task(sink.run())
    for _ in range(3):
        sink.post(job, Event(type="Warning", reason="Unschedulable", message="no node takes worker 0"))
    await sink.drain(10)
    posting.cancel()
    (event,) = place.api.list("events", namespace=place.namespace)
    assert (event["reason"], event["note"], event["series"]["count"]) == ("Unschedulable", "no node takes worker 0", 3)
    assert event["regarding"]["name"] == "job-a"


async def test_the_latest_warning_about_a_pod_is_found(place: Place) -> None:
    made = pod_facts(place.api.create("pods", pod("a"), namespace=place.namespace))
    other = pod_facts(place.api.create("pods", pod("b"), namespace=place.namespace))
    now = datetime.now(UTC)
    for second, message in ((1, "first"), (3, "MountVolume.SetUp failed"), (2, "second")):
        event = {
            "metadata": {"name": f"e-{second}"},
            "type": "Warning",
            "reason": "FailedMount",
            "note": message,
            "action": "Mounting",
            "eventTime": (now + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "kubelet",
            "reportingInstance": "node1",
            "regarding": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": place.namespace,
                "name": "a",
                "uid": made.uid,
            },
        }
        place.api.create("events", event, namespace=place.namespace)
    assert await latest_warnings(place.client, [made, other]) == {"a": "MountVolume.SetUp failed"}


async def test_a_metadata_only_answer_is_enough_for_a_record(place: Place) -> None:
    answer = await place.client.create(PODS, namespace=place.namespace, body=pod("a"), metadata_only=True)
    assert "spec" not in answer
    made = pod_facts(answer)
    assert (made.name, made.job, made.attempt, made.worker, made.phase) == ("a", "job-a", 1, 0, "Pending")
