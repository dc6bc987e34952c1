"""A pod's JSON becomes a record that says what decisions need, and reading never fails."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.kube.records import differs, is_newer, pod_facts
from regatta.plan.model import ContainerFacts

RUNNING: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "resnet-2-1",
        "namespace": "team",
        "uid": "5d8e9f3c-1111-4222-8333-944455566677",
        "resourceVersion": "48213",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {
            "app.kubernetes.io/managed-by": "regatta",
            "regatta.dev/job": "resnet",
            "regatta.dev/attempt": "2",
            "regatta.dev/worker": "1",
        },
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "not-me"},
            {
                "apiVersion": "regatta.dev/v1alpha1",
                "kind": "TrainingJob",
                "name": "resnet",
                "uid": "job-uid",
                "controller": True,
                "blockOwnerDeletion": True,
            },
        ],
        "managedFields": [{"manager": "regatta", "operation": "Update", "fieldsV1": {}}],
    },
    "spec": {"nodeName": "node1", "containers": [{"name": "trainer", "image": "i"}], "restartPolicy": "Never"},
    "status": {
        "phase": "Running",
        "podIP": "10.1.0.7",
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:06Z"},
            {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-02T03:04:07Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:30Z"},
        ],
        "initContainerStatuses": [
            {
                "name": "regatta-runtime",
                "ready": True,
                "restartCount": 0,
                "started": False,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-02T03:04:08Z"}},
            }
        ],
        "containerStatuses": [
            {
                "name": "trainer",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-02T03:04:09Z"}},
            }
        ],
    },
}


def at(second: int) -> datetime:
    return datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC)


def changed(**status: Any) -> dict[str, Any]:
    pod = copy.deepcopy(RUNNING)
    pod["status"] |= status
    return pod


def test_a_running_pod_is_read_whole() -> None:
    facts = pod_facts(RUNNING)
    assert (facts.namespace, facts.name, facts.resource_version) == ("team", "resnet-2-1", "48213")
    assert (facts.job, facts.owner_uid, facts.attempt, facts.worker) == ("resnet", "job-uid", 2, 1)
    assert (facts.phase, facts.node, facts.ip) == ("Running", "node1", "10.1.0.7")
    assert (facts.created_at, facts.scheduled_at, facts.ready_at) == (at(5), at(6), at(30))
    assert facts.scheduled
    assert facts.ready
    assert facts.deleting_since is None
    init, trainer = facts.containers
    assert (init.init, init.exit_code, init.finished_at) == (True, 0, at(8))
    assert trainer == ContainerFacts(name="trainer", ready=True, started=True, began_at=at(9), running_since=at(9))


def test_metadata_alone_is_a_pending_pod() -> None:
    facts = pod_facts({"metadata": RUNNING["metadata"]})
    assert (facts.phase, facts.scheduled, facts.ready, facts.containers) == ("Pending", False, False, ())
    assert (facts.job, facts.attempt, facts.worker) == ("resnet", 2, 1)


def test_the_schedulers_words_are_kept() -> None:
    words = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}]
    pod = changed(conditions=conditions, phase="Pending")
    del pod["spec"]["nodeName"]
    facts = pod_facts(pod)
    assert facts.unschedulable == words
    assert not facts.scheduled


def test_a_failed_container_tells_how_it_ended() -> None:
    state = {
        "terminated": {
            "exitCode": 137,
            "reason": "OOMKilled",
            "message": '{"version":1}',
            "finishedAt": "2026-01-02T03:04:59Z",
        }
    }
    facts = pod_facts(changed(phase="Failed", containerStatuses=[{"name": "trainer", "state": state}]))
    trainer = facts.containers[-1]
    assert (trainer.exit_code, trainer.terminated_reason, trainer.termination_message, trainer.finished_at) == (
        137,
        "OOMKilled",
        '{"version":1}',
        at(59),
    )


def test_a_waiting_container_tells_why() -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    facts = pod_facts(changed(phase="Pending", containerStatuses=[{"name": "trainer", "state": state}]))
    assert (facts.containers[-1].waiting_reason, facts.containers[-1].waiting_message) == (
        "ImagePullBackOff",
        "Back-off pulling image",
    )


def test_a_disruption_and_an_eviction_are_told() -> None:
    conditions = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
    facts = pod_facts(changed(phase="Failed", reason="Evicted", message="low on memory", conditions=conditions))
    assert (facts.disruption, facts.reason, facts.message) == ("PreemptionByScheduler", "Evicted", "low on memory")


@pytest.mark.parametrize("label", ["", "x", "-1", "1.5", "٣", "9" * 30, None, 3], ids=repr)
def test_a_label_that_is_no_number_of_ours_reads_as_minus_one(label: Any) -> None:
    pod = copy.deepcopy(RUNNING)
    pod["metadata"]["labels"]["regatta.dev/attempt"] = label
    assert pod_facts(pod).attempt == -1


def test_a_controller_that_is_no_training_job_is_no_owner_of_ours() -> None:
    pod = copy.deepcopy(RUNNING)
    pod["metadata"]["ownerReferences"][1]["kind"] = "ReplicaSet"
    assert pod_facts(pod).owner_uid == ""


def test_records_that_differ_only_in_their_version_say_the_same() -> None:
    later = copy.deepcopy(RUNNING)
    later["metadata"]["resourceVersion"] = "48214"
    assert not differs(pod_facts(RUNNING), pod_facts(later))
    assert is_newer(pod_facts(later), pod_facts(RUNNING))
    assert differs(pod_facts(RUNNING), pod_facts(changed(podIP="10.1.0.8")))


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=5,
)


@st.composite
def damaged_pods(draw: st.DrawFn) -> Any:
    """A pod with junk in one or more places."""
    pod: Any = copy.deepcopy(RUNNING)
    for _ in range(draw(st.integers(1, 3))):
        place = pod
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, dict | list) or draw(st.integers(0, 3)) == 0:
                place[key] = draw(junk)
                break
            place = inner
    return pod


@given(pod=damaged_pods())
def test_reading_an_odd_pod_never_fails(pod: dict[str, Any]) -> None:
    facts = pod_facts(pod)
    assert isinstance(facts.name, str)
    assert all(isinstance(container, ContainerFacts) for container in facts.containers)


def test_a_pod_is_being_deleted_since_it_was_ordered_not_since_its_grace_will_be_over() -> None:
    order = {"deletionTimestamp": "2026-01-02T03:02:00Z", "deletionGracePeriodSeconds": 120}
    assert pod_facts({"metadata": order}).deleting_since == datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
