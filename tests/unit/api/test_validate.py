"""What `check` refuses, with which path and words, and what it must let through."""

from __future__ import annotations

import copy
from types import MappingProxyType

import pytest

from regatta.api.validate import check
from tests.unit.api.cases import BAD, GOOD, Bad, Good, job


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.title)
def test_a_bad_job_is_refused_at_the_path_of_what_is_wrong(bad: Bad) -> None:
    _, problems = check(bad.job)

    messages = [problem.message for problem in problems if problem.path == bad.path]
    assert messages, f"nothing at {bad.path} in {[*map(str, problems)]}"
    assert any(all(word in message for word in bad.words) for message in messages), messages


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.title)
def test_a_good_job_is_taken_without_a_word(good: Good) -> None:
    spec, problems = check(good.job)

    assert problems == ()
    assert spec is not None


def test_all_problems_are_told_at_once_and_only_once() -> None:
    _, problems = check(
        job("UPPER", workers=0, framework="Jax", compile=True, env=[{"name": "RANK"}], gpusPerWorkers=1)
    )

    paths = [problem.path for problem in problems]
    assert sorted(paths) == [
        "metadata.name",
        "spec.compile",
        "spec.env[0].name",
        "spec.framework",
        "spec.gpusPerWorkers",
        "spec.workers",
    ]


def test_a_field_that_cannot_be_read_makes_no_further_noise() -> None:
    _, problems = check(job(volumes="data", volumeMounts=[{"name": 3, "mountPath": "/data"}]))

    assert [problem.path for problem in problems if problem.path.startswith("spec.volumes")] == ["spec.volumes"]


def test_an_object_of_another_kind_is_told_apart() -> None:
    _, problems = check({**job(), "kind": "Job", "apiVersion": "batch/v1"})

    assert [problem.path for problem in problems] == ["kind", "apiVersion"]


@pytest.mark.parametrize("spec", [None, [], "x", 3], ids=repr)
def test_a_spec_that_is_no_object_is_one_problem(spec: object) -> None:
    assert [problem.path for problem in check({**job(), "spec": spec})[1]] == ["spec"]


def test_a_generated_name_needs_no_name() -> None:
    assert check({**job(), "metadata": {"generateName": "digits-"}})[1] == ()


def test_mappings_that_are_no_dictionaries_are_read_as_well() -> None:
    spec, problems = check(MappingProxyType({**job(), "spec": MappingProxyType(job(workers=2)["spec"])}))

    assert problems == ()
    assert spec is not None
    assert spec.workers == 2


def test_checking_leaves_the_object_as_it_is() -> None:
    for case in (*BAD, *GOOD):
        before = copy.deepcopy(case.job)
        check(case.job)
        assert case.job == before, case.title
