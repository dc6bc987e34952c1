"""Suspend, deadlines, the end's clean-up, restart rules and restarts in place: each survives its operator.

Every test lets `later` plan from nothing but the stored status and the pods, as an operator does that just started.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from regatta.api.status import ConditionType, FailureAction, Phase
from regatta.plan.conditions import find
from regatta.plan.model import ContainerFacts, CreateFailure, FailureKind, GroupFacts, Outcome, Plan
from regatta.plan.plan import plan
from regatta.plan.report import CrewWords
from regatta.plan.settle import settle
from tests.builders import (
    INSTALLATION,
    NOW,
    UID,
    JobBuilder,
    PodBuilder,
    crew,
    crew_failure,
    gang_cluster,
    job,
    observed,
    pod,
    progress,
    seconds,
)


def follow(builder: JobBuilder, *pods: PodBuilder, at: float = 0, **facts: Any) -> JobBuilder:
    """The job after the plan for these pods was stored, so many seconds from now."""
    return builder.with_status(later(builder, *pods, at=at, **facts).status)


def later(builder: JobBuilder, *pods: PodBuilder, at: float = 0, **facts: Any) -> Plan:
    return plan(builder.obj(), observed(*pods, **facts), NOW + seconds(at))


def joined(attempt: int = 1, at: float = 0) -> tuple[PodBuilder, PodBuilder]:
    moment = NOW + seconds(at)
    return pod(worker=0, attempt=attempt).joined(moment), pod(worker=1, attempt=attempt).joined(moment)


def running(builder: JobBuilder) -> JobBuilder:
    return follow(follow(builder), *joined())


def env_of(decision: Plan) -> dict[str, str]:
    pods = [create for create in decision.creates if create.kind == "Pod"]
    return {e["name"]: e["value"] for e in pods[0].body["spec"]["containers"][0]["env"]}


class TestSuspend:
    def test_is_recorded_first_and_then_frees_everything(self) -> None:
        training = running(job()).spec(suspend=True)
        decision = later(training, *joined(), at=100)
        assert (decision.deletes, decision.requeue_after) == ((), 0)
        assert decision.status.phase is Phase.SUSPENDED
        assert decision.status.workers.created == 0

        acted = later(training.with_status(decision.status), *joined(), at=101)
        assert [d.name for d in acted.deletes] == ["job-a-1-0", "job-a-1-1"]
        assert acted.creates == ()
        assert acted.status == decision.status

    def test_from_the_start_creates_nothing_until_it_is_false(self) -> None:
        waiting = follow(job(suspend=True))
        assert waiting.status.phase is Phase.SUSPENDED
        assert later(waiting, at=9).creates == ()
        resumed = follow(waiting.spec(suspend=False), at=10)
        assert resumed.status.phase is Phase.QUEUED
        assert [c.name for c in later(resumed, at=10).creates if c.kind == "Pod"] == ["job-a-1-0", "job-a-1-1"]

    def test_resumes_with_a_new_attempt_that_does_not_wait_for_the_old_pods(self) -> None:
        rested = follow(running(job()).spec(suspend=True), *joined(), at=100)
        resumed = follow(rested.spec(suspend=False), *(p.deleting() for p in joined()), at=200)
        decision = later(resumed, *(p.deleting() for p in joined()), at=200)
        assert [c.name for c in decision.creates if c.kind == "Pod"] == ["job-a-2-0", "job-a-2-1"]
        suspended = find(decision.status.conditions, ConditionType.SUSPENDED)
        assert suspended is not None
        assert (suspended.status, suspended.reason) == ("False", "Resumed")

    def test_keeps_the_accounts_and_costs_no_restart(self) -> None:
        failed_once = follow(running(job()), pod(worker=0).ended(1), pod(worker=1).joined())
        again = follow(follow(failed_once, at=1), *joined(attempt=2, at=1), at=1)
        rested = follow(again.spec(suspend=True), *joined(attempt=2), at=61)
        assert rested.status.failure_counts == {"UserError": 1}
        assert (rested.status.restarts_used, rested.status.active_seconds) == (1, 60)

    def test_of_pods_that_just_failed_is_no_failure(self) -> None:
        decision = later(running(job()).spec(suspend=True), pod(worker=0).ended(1), pod(worker=1).joined())
        assert (decision.status.phase, decision.status.failures) == (Phase.SUSPENDED, ())

    def test_comes_too_late_for_a_job_that_is_done(self) -> None:
        decision = later(running(job()).spec(suspend=True), pod(worker=0).ended(0), pod(worker=1).ended(0))
        assert decision.status.phase is Phase.SUCCEEDED

    def test_stops_every_clock(self) -> None:
        limits = {"queued": 10, "starting": 10, "active": 10, "stalled": 10}
        rested = follow(running(job(deadlines=limits)).spec(suspend=True), *joined(), at=5)
        decision = later(rested, at=9999)
        assert (decision.status.phase, decision.requeue_after) == (Phase.SUSPENDED, None)


class TestTheQueuedDeadline:
    def test_fails_the_job_with_what_held_it_up(self) -> None:
        stuck = [pod(worker=w).unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.") for w in (0, 1)]
        queued = follow(follow(job(deadlines={"queued": 60})), *stuck)
        assert later(queued, *stuck, at=20).requeue_after == pytest.approx(20, abs=20)
        assert later(queued, *stuck, at=59).requeue_after == 1
        late = later(queued, *stuck, at=60)
        assert (late.status.phase, late.status.reason) == (Phase.FAILED, "QueuedDeadline")
        assert "nvidia.com/gpu" in late.status.message
        assert "spec.deadlines.queued" in late.status.message

    def test_runs_while_a_quota_keeps_the_pods_out(self) -> None:
        refusal = Outcome(
            failures=(
                CreateFailure(kind="Pod", name="job-a-1-0", failure=FailureKind.QUOTA_EXCEEDED, message="used up"),
            )
        )
        builder = job(deadlines={"queued": 60})
        for at in (0, 10, 30):
            decision = later(builder, at=at)
            settled = settle(builder.obj(), decision, refusal, NOW + seconds(at))
            builder = builder.with_status(settled.status)
            builder = builder.with_status(next_try_time=None)
        late = later(builder, at=60)
        assert (late.status.reason, late.creates) == ("QueuedDeadline", ())
        assert "used up" in late.status.message

    def test_begins_anew_for_the_next_attempt(self) -> None:
        training = running(job(deadlines={"queued": 60}))
        failed = follow(training, pod(worker=0).ended(1), pod(worker=1).joined(), at=500)
        again = follow(failed, at=500)
        assert again.status.phase is Phase.QUEUED
        assert later(again, pod(worker=0, attempt=2), pod(worker=1, attempt=2), at=559).status.phase is Phase.QUEUED


class TestTheActiveDeadline:
    def test_fails_the_job(self) -> None:
        training = running(job(deadlines={"active": 60}))
        assert later(training, *joined(), at=50).requeue_after == 10
        late = later(training, *joined(), at=60)
        assert (late.status.phase, late.status.reason) == (Phase.FAILED, "ActiveDeadline")

    def test_counts_over_all_attempts_and_not_the_time_between(self) -> None:
        training = running(job(deadlines={"active": 60}))
        failed = follow(training, pod(worker=0).ended(1), pod(worker=1).joined(), at=40)
        assert failed.status.active_seconds == 40
        again = follow(follow(failed, at=400), *joined(attempt=2, at=500), at=500)
        assert later(again, *joined(attempt=2, at=500), at=519).status.phase is Phase.RUNNING
        assert later(again, *joined(attempt=2, at=500), at=520).status.reason == "ActiveDeadline"


class TestTheStallDeadline:
    LIMIT = 100

    def stalling(self) -> JobBuilder:
        return running(job(deadlines={"stalled": self.LIMIT}))

    def test_fails_the_attempt_and_spends_the_budget(self) -> None:
        words = crew(heard_at=NOW + seconds(140), progress=progress(step=7, at=NOW + seconds(30)))
        decision = later(self.stalling(), *joined(), at=140, crew=words)
        assert (decision.status.phase, decision.status.reason) == (Phase.RESTARTING, "Stalled")
        assert "step 7" in decision.status.message
        assert (decision.status.restarts_used, decision.status.failure_counts) == (1, {"Stalled": 1})

    def test_without_budget_ends_the_job(self) -> None:
        training = running(job(deadlines={"stalled": self.LIMIT}, restart={"maxRestarts": 0}))
        decision = later(training, *joined(), at=140, crew=crew(heard_at=NOW + seconds(140)))
        assert (decision.status.phase, decision.status.reason) == (Phase.FAILED, "Stalled")

    @pytest.mark.parametrize(
        ("facts", "at"),
        [
            pytest.param({"crew": None}, 9999, id="the crew was never heard"),
            pytest.param({"crew": crew(heard_at=NOW)}, 9999, id="the crew was not heard for long"),
            pytest.param(
                {"crew": crew(heard_at=NOW + seconds(150), progress=progress(step=7, at=NOW + seconds(80)))},
                150,
                id="a step was finished lately",
            ),
            pytest.param(
                {
                    "crew": crew(
                        heard_at=NOW + seconds(150),
                        restarts=1,
                        failures=(crew_failure(at=NOW + seconds(80)),),
                    )
                },
                150,
                id="a restart in place was lately",
            ),
            pytest.param({"crew": crew(heard_at=NOW + seconds(99))}, 99, id="training has just begun"),
        ],
    )
    def test_does_not_fire_where(self, facts: dict[str, Any], at: float) -> None:
        assert later(self.stalling(), *joined(), at=at, **facts).status.phase is Phase.RUNNING

    def test_is_looked_at_when_it_may_pass(self) -> None:
        words = crew(heard_at=NOW + seconds(30), progress=progress(step=7, at=NOW + seconds(20)))
        assert later(self.stalling(), *joined(), at=30, crew=words).requeue_after == 90


class TestTheEnd:
    def ended(self, **spec: Any) -> JobBuilder:
        return follow(running(job(**spec)), pod(worker=0).ended(1), pod(worker=1).joined())

    @pytest.mark.parametrize(
        ("cleanup", "deleted"),
        [
            pytest.param("Running", ["job-a-1-1"], id="what still runs"),
            pytest.param("All", ["job-a-1-0", "job-a-1-1"], id="every pod"),
            pytest.param("None", [], id="nothing"),
        ],
    )
    def test_cleans_up_as_it_is_told(self, cleanup: str, deleted: list[str]) -> None:
        over = self.ended(cleanup=cleanup, restart={"maxRestarts": 0})
        decision = later(over, pod(worker=0).ended(1), pod(worker=1).joined(), at=5)
        assert [d.name for d in decision.deletes] == deleted

    @pytest.mark.parametrize(
        ("template", "grace"),
        [
            pytest.param({}, 30, id="no checkpoint to wait for"),
            pytest.param({"spec": {"terminationGracePeriodSeconds": 5}}, 5, id="less where the user says so"),
        ],
    )
    def test_gives_a_sidecar_that_runs_on_less_time_than_training(self, template: Any, grace: int) -> None:
        done = follow(running(job(podTemplate=template)), pod(worker=0).ended(0), pod(worker=1).ended(0))
        sidecar = ContainerFacts(name="logs", running_since=NOW)
        beside = replace(
            pod(worker=0).ended(0).obj(),
            containers=(*pod(worker=0).ended(0).obj().containers, sidecar),
            phase="Running",
        )
        [delete] = plan(done.obj(), observed(beside, pod(worker=1).ended(0)), NOW).deletes
        assert (delete.name, delete.grace_seconds) == ("job-a-1-0", grace)

    @pytest.mark.parametrize("cleanup", ["Running", "All", "None"])
    def test_deletes_the_job_when_its_time_is_up_whatever_the_cleanup(self, cleanup: str) -> None:
        over = self.ended(ttlSecondsAfterFinished=60, cleanup=cleanup, restart={"maxRestarts": 0})
        early = later(over, at=59)
        assert ([d.kind for d in early.deletes], early.requeue_after) == ([], 1)
        [deleted] = later(over, at=60).deletes
        assert (deleted.kind, deleted.name, deleted.uid) == ("TrainingJob", "job-a", UID)

    def test_of_a_refused_job_has_its_time_as_well(self) -> None:
        refused = follow(job(workers=2, ttlSecondsAfterFinished=0, volumeMounts=[{"name": "none", "mountPath": "/x"}]))
        assert refused.status.reason == "InvalidSpec"
        assert [d.kind for d in later(refused).deletes] == ["TrainingJob"]


class TestRestartRules:
    @pytest.mark.parametrize(
        ("rules", "code", "reason", "phase"),
        [
            pytest.param([{"exitCodes": [42], "action": "Fail"}], 42, "", Phase.FAILED, id="code forbids"),
            pytest.param([{"exitCodes": [42], "action": "Fail"}], 41, "", Phase.RESTARTING, id="another code"),
            pytest.param([{"causes": ["OOMKilled"], "action": "Fail"}], 137, "OOMKilled", Phase.FAILED, id="cause"),
            pytest.param([{"causes": ["OOMKilled"], "action": "Fail"}], 137, "", Phase.RESTARTING, id="137 alone"),
            pytest.param(
                [{"exitCodes": [1], "causes": ["OOMKilled"], "action": "Fail"}], 1, "", Phase.RESTARTING, id="both"
            ),
            pytest.param(
                [{"exitCodes": [42], "action": "Restart"}, {"causes": ["UserError"], "action": "Fail"}],
                42,
                "",
                Phase.RESTARTING,
                id="the first match decides",
            ),
        ],
    )
    def test_decide_by_the_first_match(self, rules: list[Any], code: int, reason: str, phase: Phase) -> None:
        training = running(job(restart={"rules": rules}))
        decision = later(training, pod(worker=0).ended(code, reason=reason), pod(worker=1).joined())
        assert decision.status.phase is phase

    def test_never_give_more_restarts_than_the_budget(self) -> None:
        training = running(job(restart={"maxRestarts": 0, "rules": [{"exitCodes": [1], "action": "Restart"}]}))
        decision = later(training, pod(worker=0).ended(1), pod(worker=1).joined())
        assert decision.status.phase is Phase.FAILED

    def test_are_named_by_the_message_they_decide(self) -> None:
        training = running(job(restart={"rules": [{"exitCodes": [42], "action": "Fail"}]}))
        decision = later(training, pod(worker=0).ended(42), pod(worker=1).joined())
        assert "spec.restart.rules[0] says Fail" in decision.status.message

    def test_can_fail_what_the_cluster_did(self) -> None:
        training = running(job(restart={"rules": [{"causes": ["PodDeleted"], "action": "Fail"}]}))
        assert later(training, pod(worker=0).joined()).status.phase is Phase.FAILED

    def test_reach_the_crew_so_that_it_does_not_restart_in_place(self) -> None:
        rules = [
            {"exitCodes": [3], "action": "Restart"},
            {"exitCodes": [3, 42], "action": "Fail"},
            {"causes": ["OOMKilled"], "action": "Fail"},
        ]
        env = env_of(later(job(restart={"rules": rules})))
        assert (env["REGATTA_FATAL_EXIT_CODES"], env["REGATTA_FATAL_OOM"]) == ("42", "1")
        assert env_of(later(job())).keys().isdisjoint({"REGATTA_FATAL_EXIT_CODES", "REGATTA_FATAL_OOM"})


class TestRestartsInPlace:
    def words(self, restarts: int, **fields: Any) -> CrewWords:
        failures = tuple(crew_failure(worker=1, exit_code=9, message=f"failure {n}") for n in range(restarts))[-5:]
        return crew(restarts=restarts, failures=failures, **fields)

    def test_are_told_while_the_job_runs(self) -> None:
        decision = later(running(job()), *joined(), at=9, crew=self.words(1))
        status = decision.status
        assert [(e.type, e.reason, e.message) for e in decision.events] == [
            ("Warning", "RestartedInPlace", "failure 0")
        ]
        assert (status.phase, status.attempt) == (Phase.RUNNING, 1)
        assert (status.restarts_used, status.restarts_in_place, status.failure_counts) == (1, 1, {"UserError": 1})
        [failure] = status.failures
        assert (failure.action, failure.pod) == (FailureAction.RESTARTED_IN_PLACE, "job-a-1-1")
        assert "restarted in place 1 time" in status.message

    def test_are_counted_once_whoever_tells_them(self) -> None:
        once = follow(running(job()), *joined(), crew=self.words(2))
        assert later(once, *joined(), crew=self.words(2)).status == once.status
        last = json.dumps({"version": 1, "outcome": "Succeeded", "restarts": 2})
        done = later(once, *(pod(worker=w).ended(0, message=last) for w in (0, 1)))
        assert (done.status.phase, done.status.restarts_used) == (Phase.SUCCEEDED, 2)
        assert done.status.failure_counts == {"UserError": 2}

    def test_beyond_those_remembered_one_by_one_are_counted_all_the_same(self) -> None:
        training = running(job().max_restarts(20))
        status = later(training, *joined(), crew=self.words(9)).status
        assert (status.restarts_used, status.failure_counts, len(status.failures)) == (9, {"UserError": 9}, 5)

    def test_of_a_crew_that_is_gone_are_not_the_next_ones(self) -> None:
        once = follow(running(job()), *joined(), crew=self.words(1))
        failed = follow(once, pod(worker=0).ended(72), pod(worker=1).ended(72), crew=self.words(1))
        assert (failed.status.attempt, failed.status.attempt_restarts) == (2, 0)
        again = follow(failed, crew=self.words(1))
        assert (again.status.restarts_used, again.status.restarts_in_place) == (1, 1)

    def test_leave_the_next_attempt_what_is_left_of_the_budget(self) -> None:
        once = follow(running(job().max_restarts(5)), *joined(), crew=self.words(2))
        failed = follow(once, pod(worker=0).ended(1), pod(worker=1).joined())
        env = env_of(later(failed))
        assert (env["REGATTA_RESTARTS_USED"], env["REGATTA_RESTARTS"]) == ("3", "1")

    def test_do_not_lengthen_the_pause_before_an_attempt(self) -> None:
        once = follow(running(job().max_restarts(9)), *joined(), crew=self.words(5))
        failed = follow(once, pod(worker=0).ended(1), pod(worker=1).joined())
        assert failed.status.next_try_time is None


class TestLostTime:
    def test_is_known_when_training_goes_on(self) -> None:
        failed = follow(running(job()), pod(worker=0).ended(1, at=NOW + seconds(10)), pod(worker=1).joined(), at=10)
        assert failed.status.failures[-1].lost_seconds is None
        again = follow(follow(failed, at=11), *joined(attempt=2, at=25), at=26)
        assert again.status.failures[-1].lost_seconds == 15

    def test_is_known_though_nobody_saw_the_next_attempt_run(self) -> None:
        failed = follow(running(job()), pod(worker=0).ended(1, at=NOW + seconds(10)), pod(worker=1).joined(), at=10)
        ended = [
            pod(worker=w, attempt=2).ended(0, at=NOW + seconds(40)).container(began_at=NOW + seconds(30))
            for w in (0, 1)
        ]
        done = follow(follow(failed, at=11), *ended, at=41)
        assert (done.status.phase, done.status.failures[-1].lost_seconds) == (Phase.SUCCEEDED, 20)

    def test_of_failures_in_a_row_adds_up_to_what_was_lost(self) -> None:
        first = follow(running(job()), pod(worker=0).ended(1, at=NOW + seconds(10)), pod(worker=1).joined(), at=10)
        second = follow(
            follow(first, at=11), pod(attempt=2).ended(1, at=NOW + seconds(30)), pod(worker=1, attempt=2), at=30
        )
        third = follow(follow(second, at=40), *joined(attempt=3, at=50), at=50)
        assert [failure.lost_seconds for failure in third.status.failures] == [20, 20]


class TestAGang:
    def test_is_native_where_the_cluster_has_it(self) -> None:
        decision = later(job().workers(3), installation=gang_cluster())
        group = next(create for create in decision.creates if create.kind == "PodGroup")
        assert (group.name, group.body["spec"]["schedulingPolicy"]) == ("job-a-1", {"gang": {"minCount": 3}})
        pods = [create.body["spec"] for create in decision.creates if create.kind == "Pod"]
        assert all(spec["schedulingGroup"] == {"podGroupName": "job-a-1"} for spec in pods)
        kinds = [create.kind for create in decision.creates]
        assert kinds.index("PodGroup") < kinds.index("Pod")

    @pytest.mark.parametrize(
        ("spec", "native", "reason"),
        [
            pytest.param({}, False, "NotAvailable", id="the cluster has none"),
            pytest.param({"scheduling": {"gang": "Native"}}, False, "NotAvailable", id="wanted and not there"),
            pytest.param({"scheduling": {"gang": "None"}}, True, None, id="not wanted"),
            pytest.param({"workers": 1}, True, None, id="one worker needs none"),
            pytest.param({"scheduling": {"schedulerName": "volcano"}}, True, "NotAvailable", id="another scheduler"),
        ],
    )
    def test_is_none_and_says_why_where(self, spec: dict[str, Any], native: bool, reason: str | None) -> None:
        decision = later(job(**spec), installation=gang_cluster() if native else INSTALLATION)
        assert "PodGroup" not in [create.kind for create in decision.creates]
        assert all("schedulingGroup" not in c.body["spec"] for c in decision.creates if c.kind == "Pod")
        stated = find(decision.status.conditions, ConditionType.GANG_SCHEDULED)
        assert (stated and stated.reason) == reason

    def test_that_waits_is_looked_at_and_tells_the_schedulers_words(self) -> None:
        waiting = follow(job(), installation=gang_cluster())
        pods = [pod(worker=0), pod(worker=1)]
        decision = later(waiting, *pods, at=5, installation=gang_cluster())
        assert (decision.inspect_group, decision.requeue_after) == ("job-a-1", 5)
        group = GroupFacts(name="job-a-1", reason="Unschedulable", message="1/2 pods could be scheduled")
        told = later(waiting, *pods, at=9, installation=gang_cluster(), group=group).status
        stated = find(told.conditions, ConditionType.GANG_SCHEDULED)
        assert stated is not None
        assert (stated.status, stated.reason) == ("False", "Unschedulable")
        assert "1/2 pods could be scheduled" in stated.message
        assert (told.phase, told.reason) == (Phase.QUEUED, "Unschedulable")
        assert "1/2 pods could be scheduled" in told.message

    def test_of_the_last_attempt_is_deleted_with_its_owner_as_condition(self) -> None:
        training = follow(follow(job(), installation=gang_cluster()), *joined(), installation=gang_cluster())
        failed = follow(training, pod(worker=0).ended(1), pod(worker=1).joined(), installation=gang_cluster())
        decision = later(failed, installation=gang_cluster())
        assert [(d.name, d.uid, d.owner) for d in decision.deletes if d.kind == "PodGroup"] == [("job-a-1", "", UID)]
        assert "job-a-2" in [create.name for create in decision.creates]


def test_pods_leave_a_lost_node_soon_unless_the_user_says_otherwise() -> None:
    def seconds_by_key(builder: JobBuilder) -> dict[str, Any]:
        spec = later(builder).creates[-1].body["spec"]
        return {t.get("key"): t.get("tolerationSeconds") for t in spec["tolerations"]}

    assert seconds_by_key(job()) == {"node.kubernetes.io/unreachable": 2, "node.kubernetes.io/not-ready": 30}
    patient = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 900}
    assert seconds_by_key(job(scheduling={"tolerations": [patient]}))["node.kubernetes.io/unreachable"] == 900
    anything = {"operator": "Exists"}
    assert seconds_by_key(job(scheduling={"tolerations": [anything]})) == {None: None}


def test_the_launcher_knows_how_much_grace_its_pod_has() -> None:
    assert env_of(later(job()))["REGATTA_GRACE"] == "115"
    longer = job(podTemplate={"spec": {"terminationGracePeriodSeconds": 600}})
    assert env_of(later(longer))["REGATTA_GRACE"] == "595"
