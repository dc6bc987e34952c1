"""The API server itself refuses what the CRD can say is wrong, in words that help, and takes what is right.

Everything is asked as a dry run, so no row of the tables leaves anything behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from regatta.api.cel import EDITABLE
from regatta.api.spec import TrainingJobSpec
from regatta.api.validate import check
from tests.cluster.kit import Playground, Refused, job
from tests.unit.api.cases import BAD, GOOD, Bad, Good

pytestmark = pytest.mark.cluster

DRY_RUN = {"dryRun": "All", "fieldValidation": "Strict"}
"""As `kubectl` asks: an unknown field is an error, not something to drop."""


@pytest.fixture(scope="module")
def place(make_place: Callable[[str], Playground]) -> Playground:
    """A namespace for all questions of this module."""
    return make_place("api")


def create(place: Playground, body: Mapping[str, Any]) -> dict[str, Any]:
    path = place.api.path("trainingjobs", namespace=place.namespace)
    answer: dict[str, Any] = place.api.request("POST", path, body=body, query=DRY_RUN)
    return answer


def patch(place: Playground, name: str, spec: Mapping[str, Any]) -> None:
    place.api.request(
        "PATCH",
        place.api.path("trainingjobs", namespace=place.namespace, name=name),
        body={"spec": spec},
        query=DRY_RUN,
        content_type="application/merge-patch+json",
    )


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.server], ids=lambda bad: bad.title)
def test_a_bad_job_is_refused_in_words_that_help(place: Playground, bad: Bad) -> None:
    with pytest.raises(Refused) as refusal:
        create(place, bad.job)

    field = () if bad.path.endswith('"]') else (bad.path,)  # the server names the object, not the key
    for word in bad.server_words or (*field, *bad.words):
        assert word in refusal.value.message


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.title)
def test_a_good_job_is_taken_with_its_defaults(place: Playground, good: Good) -> None:
    taken = create(place, good.job)

    spec, problems = check(taken)
    assert problems == ()
    assert spec == check(good.job)[0]
    assert taken["spec"]["workers"] == good.job["spec"].get("workers", 1)
    assert taken["spec"]["restart"]["maxRestarts"] == good.job["spec"].get("restart", {}).get("maxRestarts", 3)


CHANGES: Mapping[str, Any] = {
    "framework": "Custom",
    "kerasBackend": "torch",
    "image": "other:1",
    "runtime": "Off",
    "command": ["python", "other.py"],
    "args": ["--other"],
    "source": {"configMap": {"name": "other"}},
    "env": [{"name": "OTHER", "value": "1"}],
    "envFrom": [{"secretRef": {"name": "other"}}],
    "volumes": [{"name": "other", "emptyDir": {}}],
    "volumeMounts": [{"name": "other", "mountPath": "/other"}],
    "workers": 2,
    "gpusPerWorker": 1,
    "gpuResource": "amd.com/gpu",
    "processesPerWorker": 2,
    "resources": {"requests": {"cpu": "2"}},
    "podTemplate": {"metadata": {"labels": {"other": "yes"}}},
    "checkpoint": {"volume": {"emptyDir": {}}},
    "preprocessing": {"source": {"uri": "/data", "format": "ImageFolder"}, "batchSize": 8},
    "scheduling": {"schedulerName": "other"},
}
EDITS: Mapping[str, Any] = {
    "suspend": True,
    "ttlSecondsAfterFinished": 60,
    "deadlines": {"starting": 60, "queued": 600, "active": 600, "stalled": 600},
    "restart": {"maxRestarts": 7},
    "cleanup": "All",
}


@pytest.fixture(scope="module")
def started(place: Playground) -> str:
    """A job whose first attempt is on record; no node will ever run it."""
    scheduling = {"nodeSelector": {"nowhere": "at-all"}}
    place.apply(job("started").command("python", "train.py").set(scheduling=scheduling))
    place.wait("the first attempt", lambda: place.status("started").get("attempt"), name="started", timeout=30)
    return "started"


@pytest.mark.parametrize("field", CHANGES)
def test_a_started_job_does_not_change(place: Playground, started: str, field: str) -> None:
    with pytest.raises(Refused, match="cannot change once the job has started") as refusal:
        patch(place, started, {field: CHANGES[field]})

    assert f"spec.{field}" in refusal.value.message


@pytest.mark.parametrize("field", EDITS)
def test_a_started_job_takes_over_what_may_change(place: Playground, started: str, field: str) -> None:
    patch(place, started, {field: EDITS[field]})


def test_the_tables_of_changes_leave_no_available_field_out() -> None:
    # compile: refused with this framework, whenever it is written.
    fields = {str(field.alias) for field in TrainingJobSpec.model_fields.values()}

    assert set(CHANGES) == fields - set(EDITABLE) - {"compile"}
    assert set(EDITS) == set(EDITABLE)
