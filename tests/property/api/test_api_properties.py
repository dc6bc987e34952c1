"""Properties that hold for every job: names fit, values survive the wire, no input breaks the check."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from regatta.api import names
from regatta.api.spec import Framework, Runtime, TrainingJobSpec
from regatta.api.status import Cause, Condition, Failure, FailureAction, Phase, Progress, TrainingJobStatus, Workers
from regatta.api.validate import check

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
ATTEMPTS = st.integers(1, 10_000)
INDEXES = st.integers(0, 99_999)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
WORDS = st.text(string.ascii_letters, min_size=1, max_size=10)
COUNTS = st.integers(0, 1000)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS = st.floats(0, 1e9, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)

SPECS = st.fixed_dictionaries(
    {"framework": st.sampled_from([Framework.PYTORCH.value, Framework.CUSTOM.value]), "image": st.just("app:1")},
    optional={
        "runtime": st.sampled_from([runtime.value for runtime in Runtime]),
        "args": st.lists(TEXT, max_size=3),
        "workers": st.integers(1, 10_000),
        "gpusPerWorker": st.integers(0, 16),
        "processesPerWorker": st.none() | st.integers(1, 16),
        "source": st.fixed_dictionaries({"inline": st.dictionaries(WORDS, TEXT, min_size=1, max_size=3)}),
        "env": st.lists(
            st.fixed_dictionaries({"name": WORDS.map("MY_".__add__), "value": TEXT}),
            max_size=3,
            unique_by=lambda variable: variable["name"],
        ),
        "deadlines": st.fixed_dictionaries({}, optional={"starting": st.none() | st.integers(1, 10_000)}),
        "restart": st.fixed_dictionaries({}, optional={"maxRestarts": st.integers(0, 1000)}),
        "scheduling": st.fixed_dictionaries({}, optional={"gang": st.sampled_from(["Auto", "None"])}),
    },
)
STATUSES = st.builds(
    TrainingJobStatus,
    observed_generation=st.none() | COUNTS,
    phase=st.none() | st.sampled_from(Phase),
    reason=WORDS | st.just(""),
    message=TEXT,
    attempt=COUNTS,
    conditions=st.lists(
        st.builds(
            Condition,
            type=WORDS,
            status=st.sampled_from(["True", "False", "Unknown"]),
            reason=WORDS,
            message=TEXT,
            lastTransitionTime=TIMES,
            observed_generation=st.none() | COUNTS,
        ),
        max_size=3,
    ).map(tuple),
    workers=st.builds(Workers, desired=COUNTS, created=COUNTS, ready=COUNTS, succeeded=COUNTS, failed=COUNTS),
    start_time=st.none() | TIMES,
    running_since=st.none() | TIMES,
    completion_time=st.none() | TIMES,
    next_try_time=st.none() | TIMES,
    restarts_used=COUNTS,
    restarts_in_place=COUNTS,
    attempt_restarts=COUNTS,
    active_seconds=COUNTS,
    phase_since=st.none() | TIMES,
    failures=st.lists(
        st.builds(
            Failure,
            attempt=COUNTS,
            cause=st.sampled_from(Cause),
            pod=WORDS,
            node=WORDS,
            exit_code=st.none() | st.integers(0, 255),
            message=TEXT,
            at=TIMES,
            action=st.none() | st.sampled_from(FailureAction),
            lost_seconds=st.none() | NUMBERS,
        ),
        max_size=12,
    ).map(tuple),
    failure_counts=st.dictionaries(st.sampled_from(Cause).map(str), COUNTS, max_size=3),
    progress=st.none()
    | st.builds(
        Progress,
        step=st.none() | COUNTS,
        total_steps=st.none() | COUNTS,
        epoch=st.none() | NUMBERS,
        fraction=st.none() | st.floats(0, 1),
        eta_seconds=st.none() | NUMBERS,
        updated_at=st.none() | TIMES,
    ),
    efficiency=st.dictionaries(WORDS, NUMBERS, max_size=3),
    ledger=st.dictionaries(WORDS, NUMBERS, max_size=3),
)


@given(NAMES, ATTEMPTS, INDEXES)
def test_every_derived_name_is_a_dns_label(job: str, attempt: int, index: int) -> None:
    for name in (
        names.pod_name(job, attempt, index),
        names.group_name(job, attempt),
        names.service_name(job),
        names.source_name(job),
    ):
        assert names.is_dns_label(name), name
    assert names.service_name(job)[0] in string.ascii_lowercase


@given(NAMES, st.sets(st.tuples(ATTEMPTS, INDEXES), max_size=20))
def test_pods_of_a_job_never_share_a_name(job: str, pods: set[tuple[int, int]]) -> None:
    assert len({names.pod_name(job, attempt, index) for attempt, index in pods}) == len(pods)


@given(st.sets(NAMES, max_size=10))
def test_jobs_never_share_a_service_or_a_config_map(jobs: set[str]) -> None:
    assert len({names.service_name(job) for job in jobs}) == len(jobs)
    assert len({names.source_name(job) for job in jobs}) == len(jobs)


@given(NAMES, SPECS)
def test_a_valid_spec_survives_a_round_trip(name: str, raw: dict[str, Any]) -> None:
    spec, problems = check({"metadata": {"name": name}, "spec": {**raw, "command": ["python"]}})

    assert problems == ()
    assert spec is not None
    assert spec.to_api() == {**raw, "command": ["python"]}
    assert TrainingJobSpec.from_api(spec.to_api()) == spec
    assert TrainingJobSpec.from_api(yaml.safe_load(yaml.safe_dump(spec.to_api()))) == spec


@given(STATUSES)
def test_a_status_survives_a_round_trip(status: TrainingJobStatus) -> None:
    assert TrainingJobStatus.from_api(status.to_api()) == status


@given(
    st.dictionaries(
        st.sampled_from([str(field.alias) for field in TrainingJobSpec.model_fields.values()]), JSON, max_size=8
    )
)
def test_no_spec_is_so_bad_that_the_check_breaks(raw: dict[str, Any]) -> None:
    spec, problems = check({"metadata": {"name": "job"}, "spec": raw})

    assert spec is not None or problems
    assert all(problem.path.startswith("spec") and problem.message for problem in problems)


@given(JSON)
def test_no_pod_template_is_so_bad_that_the_check_breaks(template: Any) -> None:
    for overlay in (template, {"spec": template}, {"spec": {"containers": template, "volumes": template}}):
        raw = {"framework": "PyTorch", "command": ["python"], "podTemplate": overlay}
        _, problems = check({"metadata": {"name": "job"}, "spec": raw})
        assert all(problem.path.startswith("spec.podTemplate") for problem in problems)


@given(st.dictionaries(st.sampled_from(["phase", "attempt", "failures", "workers", "progress", "ledger"]), JSON))
def test_no_status_is_so_bad_that_it_cannot_be_read(raw: dict[str, Any]) -> None:
    assert isinstance(TrainingJobStatus.from_api(raw), TrainingJobStatus)
