"""What an installation says for jobs that do not say it themselves, and what a job then is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from regatta.api.defaults import JobDefaults
from regatta.api.status import Phase
from regatta.errors import ConfigurationError
from regatta.plan.defaults import with_defaults
from regatta.plan.model import Installation, Job, Observed, Plan
from regatta.plan.plan import plan
from tests.builders import INSTALLATION, NOW, JobBuilder, job

DEFAULTS = JobDefaults.model_validate(
    {
        "cleanup": "All",
        "ttlSecondsAfterFinished": 60,
        "deadlines": {"queued": 10, "starting": None, "active": 30, "stalled": 40},
        "gang": "None",
        "nodeSelector": {"pool": "training", "zone": "a"},
        "runtimeClassName": "sandboxed",
        "imagePullSecrets": ["mirror"],
        "gpuResources": [{"name": "amd.com/gpu"}, {"name": "nvidia.com/gpu", "runtimeClassName": "nvidia"}],
    }
)
ABUNDANT = replace(INSTALLATION, defaults=DEFAULTS)


def effective(builder: JobBuilder) -> Any:
    filled = with_defaults(builder.obj(), DEFAULTS).spec
    assert filled is not None
    return filled


def first_plan(builder: JobBuilder, installation: Installation = ABUNDANT) -> Plan:
    return plan(builder.obj(), Observed(installation=installation), NOW)


def pod_spec(builder: JobBuilder, installation: Installation = ABUNDANT) -> Any:
    return next(each.body["spec"] for each in first_plan(builder, installation).creates if each.kind == "Pod")


def test_what_a_job_leaves_out_is_the_installations() -> None:
    spec = effective(job())

    assert (spec.cleanup, spec.ttl_seconds_after_finished, spec.gpu_resource) == ("All", 60, "amd.com/gpu")
    assert (spec.deadlines.queued, spec.deadlines.starting, spec.deadlines.active) == (10, None, 30)
    assert spec.deadlines.stalled == 40
    assert spec.scheduling.gang == "None"
    assert spec.scheduling.node_selector == {"pool": "training", "zone": "a"}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        pytest.param({"cleanup": "None"}, ("cleanup", "None"), id="clean-up"),
        pytest.param({"ttlSecondsAfterFinished": 5}, ("ttl_seconds_after_finished", 5), id="ttl"),
        pytest.param({"ttlSecondsAfterFinished": None}, ("ttl_seconds_after_finished", None), id="null is never"),
        pytest.param({"gpuResource": "nvidia.com/gpu"}, ("gpu_resource", "nvidia.com/gpu"), id="even the usual GPU"),
        pytest.param({"deadlines": {"active": 5}}, ("deadlines.active", 5), id="deadline"),
        pytest.param({"deadlines": {"active": None}}, ("deadlines.active", None), id="null is no deadline"),
        pytest.param({"scheduling": {"gang": "Auto"}}, ("scheduling.gang", "Auto"), id="even the usual gang"),
    ],
)
def test_what_a_job_says_counts(written: dict[str, Any], kept: tuple[str, Any]) -> None:
    value: Any = effective(job(**written))
    for field in kept[0].split("."):
        value = getattr(value, field)

    assert value == kept[1]


def test_node_selectors_are_merged_label_by_label() -> None:
    spec = effective(job(scheduling={"nodeSelector": {"zone": "b", "disk": "fast"}}))

    assert spec.scheduling.node_selector == {"pool": "training", "zone": "b", "disk": "fast"}


def test_a_pod_template_has_the_last_word() -> None:
    overlay = {"spec": {"nodeSelector": {"pool": None}, "runtimeClassName": None}}
    pod = pod_spec(job(podTemplate=overlay))

    assert pod["nodeSelector"] == {"zone": "a"}
    assert "runtimeClassName" not in pod


def test_a_job_without_the_runtime_gets_no_deadline_that_needs_it() -> None:
    assert effective(job(runtime="Off")).deadlines.stalled is None


@pytest.mark.parametrize(
    ("spec", "runtime_class"),
    [
        pytest.param({}, "sandboxed", id="no GPU"),
        pytest.param({"gpusPerWorker": 1, "gpuResource": "nvidia.com/gpu"}, "nvidia", id="a GPU with its own"),
        pytest.param({"gpusPerWorker": 1}, "sandboxed", id="a GPU without"),
        pytest.param({"gpusPerWorker": 1, "gpuResource": "x.example/npu"}, "sandboxed", id="one that nobody listed"),
    ],
)
def test_each_kind_of_gpu_may_have_its_runtime_class(spec: dict[str, Any], runtime_class: str) -> None:
    assert pod_spec(job(**spec))["runtimeClassName"] == runtime_class


def test_pods_ask_for_the_gpus_of_the_installation_and_carry_its_pull_secrets() -> None:
    pod = pod_spec(job(gpusPerWorker=2))

    assert pod["containers"][0]["resources"]["limits"] == {"amd.com/gpu": "2"}
    assert pod["imagePullSecrets"] == [{"name": "mirror"}]


def test_without_defaults_nothing_is_added() -> None:
    pod = pod_spec(job(), INSTALLATION)

    assert not {"nodeSelector", "runtimeClassName", "imagePullSecrets"} & set(pod)


def test_a_default_time_to_live_ends_a_job_that_wrote_none() -> None:
    ended = job().with_status(phase=Phase.SUCCEEDED, attempt=1, completion_time=NOW).obj()

    waiting = plan(ended, Observed(installation=ABUNDANT), NOW + timedelta(seconds=59))
    due = plan(ended, Observed(installation=ABUNDANT), NOW + timedelta(seconds=60))

    assert waiting.requeue_after == 1
    assert [each.kind for each in due.deletes] == ["TrainingJob"]


def test_an_illegible_job_stays_as_it_is() -> None:
    illegible: Job = replace(job().obj(), spec=None)

    assert with_defaults(illegible, DEFAULTS) is illegible


def test_they_are_the_same_after_a_way_through_text() -> None:
    assert JobDefaults.from_json(DEFAULTS.to_json()) == DEFAULTS


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param('{"cleanUp": "All"}', "jobDefaults.cleanUp: unknown field; write cleanup", id="misspelt"),
        pytest.param('{"cleanup": "Some"}', "jobDefaults.cleanup", id="an unknown choice"),
        pytest.param('{"gpuResources": []}', "jobDefaults.gpuResources", id="no GPU at all"),
        pytest.param('{"gpuResources": [{"name": "gpu"}]}', "DOMAIN/NAME", id="no extended resource"),
        pytest.param('{"deadlines": {"active": 0}}', "jobDefaults.deadlines.active", id="a deadline of nothing"),
        pytest.param("{", "jobDefaults", id="no JSON"),
    ],
)
def test_wrong_ones_are_refused_by_their_path(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        JobDefaults.from_json(text)
