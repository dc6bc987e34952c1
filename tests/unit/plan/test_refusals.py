"""What the status says of a pod that the API server does not take: whose word it was, the numbers, and what helps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.api.status import MAX_MESSAGE, Phase
from regatta.plan.model import CreateFailure, FailureKind, Outcome
from regatta.plan.plan import plan
from regatta.plan.refusals import fix_in, refusal
from regatta.plan.settle import settle
from tests.builders import NOW, job, observed


def refused(message: str, kind: FailureKind = FailureKind.FORBIDDEN, *, workers: int = 4, fitted: int = 0) -> str:
    failure = CreateFailure(kind="Pod", name="job-a-1-0", failure=kind, message=message)
    return refusal(failure, workers=workers, fitted=fitted)


def quota(requested: str, used: str, limited: str) -> str:
    return (
        f'pods "job-a-1-0" is forbidden: exceeded quota: team, requested: {requested}, used: {used}, limited: {limited}'
    )


@pytest.mark.parametrize(
    ("message", "fitted", "numbers", "fix"),
    [
        pytest.param(
            quota("pods=1", "pods=2", "pods=4"),
            2,
            "the job needs 4 x 1 = 4 pods, the quota leaves it 4 of 4",
            "raise the quota, ask for less, or wait",
            id="our own pods do not count as others'",
        ),
        pytest.param(
            quota("requests.memory=3Gi", "requests.memory=8Gi", "requests.memory=16Gi"),
            0,
            "the job needs 4 x 3Gi = 12Gi requests.memory, the quota leaves it 8Gi of 16Gi",
            "raise the quota, ask for less, or wait",
            id="in the unit of the quota",
        ),
        pytest.param(
            quota("limits.cpu=1500m", "limits.cpu=0", "limits.cpu=4"),
            0,
            "the job needs 4 x 1500m = 6 limits.cpu, the quota leaves it 4 of 4",
            "raise the quota or ask for less, because all of it would not suffice",
            id="more than the whole quota",
        ),
        pytest.param(
            quota("limits.cpu=1,pods=1", "limits.cpu=3,pods=9", "limits.cpu=4,pods=9"),
            0,
            "the job needs 4 x 1 = 4 limits.cpu, the quota leaves it 1 of 4; the job needs 4 x 1 = 4 pods, "
            "the quota leaves it 0 of 9",
            "raise the quota, ask for less, or wait",
            id="several resources",
        ),
        pytest.param(quota("pods=x", "pods=y", "pods=z"), 0, "limited: pods=z", "the job starts by itself", id="odd"),
    ],
)
def test_a_quota_is_told_with_what_the_whole_job_needs_of_it(message: str, fitted: int, numbers: str, fix: str) -> None:
    what, advice = fix_in(refused(message, FailureKind.QUOTA_EXCEEDED, fitted=fitted))

    assert what.startswith("Pod job-a-1-0: exceeded quota: team, requested: ")
    assert what.endswith(numbers)
    assert advice.startswith(fix)


@pytest.mark.parametrize(
    ("message", "kind", "fix"),
    [
        pytest.param(
            'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: trainer; limits.memory for: trainer',
            FailureKind.QUOTA_EXCEEDED,
            "set these in spec.resources",
            id="quota that demands a limit",
        ),
        pytest.param(
            'pods "p" is forbidden: maximum cpu usage per Container is 2, but limit is 4',
            FailureKind.QUOTA_EXCEEDED,
            "keep spec.resources within the namespace's LimitRange",
            id="LimitRange",
        ),
        pytest.param(
            'pods "p" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes (volume "d")',
            FailureKind.FORBIDDEN,
            "fit the podTemplate to that standard",
            id="PodSecurity",
        ),
        pytest.param(
            'pods "p" is forbidden: no PriorityClass with name gold was found',
            FailureKind.FORBIDDEN,
            "create the PriorityClass, or correct spec.scheduling.priorityClassName",
            id="PriorityClass",
        ),
        pytest.param(
            'pods "p" is forbidden: error looking up service account team/x: serviceaccount "x" not found',
            FailureKind.FORBIDDEN,
            "create the ServiceAccount",
            id="ServiceAccount",
        ),
        pytest.param(
            'admission webhook "w.test" denied the request: no team label',
            FailureKind.FORBIDDEN,
            "fit the job to what that webhook demands",
            id="webhook",
        ),
        pytest.param(
            "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'v' with binding 'b' denied request: no",
            FailureKind.FORBIDDEN,
            "fit the job to that policy",
            id="policy",
        ),
        pytest.param(
            'Internal error occurred: failed calling webhook "w.test": connection refused',
            FailureKind.UNAVAILABLE,
            "have that webhook's service repaired",
            id="webhook that does not answer",
        ),
        pytest.param("services x exists", FailureKind.NAME_TAKEN, "delete that Pod", id="name taken"),
        pytest.param("gremlins", FailureKind.FORBIDDEN, "have the cluster's administrator", id="unknown words"),
    ],
)
def test_a_refusal_is_told_in_its_own_words_with_what_helps(message: str, kind: FailureKind, fix: str) -> None:
    what, advice = fix_in(refused(message, kind))

    assert what == "Pod job-a-1-0: " + message.removeprefix('pods "p" is forbidden: ')
    assert advice.startswith(fix)


@pytest.mark.parametrize(
    "message",
    ["ValidatingAdmissionPolicy 'v' with binding 'b' denied request: no", 'admission webhook "w" denied the request'],
)
def test_a_policy_that_answers_with_an_invalid_object_may_still_change_its_mind(message: str) -> None:
    start = job().obj()
    failure = CreateFailure(kind="Pod", name="job-a-1-0", failure=FailureKind.INVALID, message=message)

    settled = settle(start, plan(start, observed(), NOW), Outcome(failures=(failure,)), NOW)

    assert (settled.status.phase, settled.status.reason) == (Phase.QUEUED, "CreateError")
    assert settled.status.next_try_time is not None


@given(
    message=st.text(max_size=400),
    repeat=st.integers(1, 100),
    kind=st.sampled_from(list(FailureKind)),
    quota=st.tuples(*[st.text(max_size=30)] * 3),
)
def test_whatever_is_answered_becomes_one_bounded_line(
    message: str, repeat: int, kind: FailureKind, quota: tuple[str, str, str]
) -> None:
    for words in (
        message * repeat,
        f"exceeded quota: q, requested: {quota[0]}, used: {quota[1]}, limited: {quota[2]}",
        f"exceeded quota: q, requested: pods=1e999, used: pods={quota[1]}, limited: pods=1",
    ):
        told = refused(words, kind)

        assert len(told) <= MAX_MESSAGE
        assert "\n" not in told
        assert fix_in(told)[1]


def test_numbers_of_any_size_stay_short() -> None:
    told = refused(quota("pods=1e999", "pods=1e-999", "pods=9e999"), FailureKind.QUOTA_EXCEEDED)

    assert len(told) < 700
