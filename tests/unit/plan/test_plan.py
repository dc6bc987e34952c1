"""The life of a job, one decision at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest

from regatta.api.status import ConditionType, Phase, TrainingJobStatus
from regatta.plan.conditions import find
from regatta.plan.model import CreateFailure, FailureKind, Outcome, Plan
from regatta.plan.plan import orphans, plan
from regatta.plan.settle import settle
from tests.builders import INSTALLATION, NOW, UID, JobBuilder, PodBuilder, job, observed, pod, seconds


def kinds(decision: Plan) -> list[str]:
    return [create.kind for create in decision.creates]


def created(builder: JobBuilder) -> JobBuilder:
    """The job after its first plan was carried out."""
    return builder.with_status(plan(builder.obj(), observed(), NOW).status)


def follow(builder: JobBuilder, *pods: PodBuilder, now: datetime = NOW) -> JobBuilder:
    """The job after the plan for these pods was stored."""
    return builder.with_status(plan(builder.obj(), observed(*pods), now).status)


def running(builder: JobBuilder) -> JobBuilder:
    workers = builder.raw["spec"]["workers"]
    return follow(created(builder), *(pod(worker=w).joined() for w in range(workers)))


def report(**fields: object) -> str:
    return json.dumps({"version": 1, "outcome": "Failed", "cause": "UserError", "restarts": 0, **fields})


class TestANewJob:
    def test_gets_a_service_and_one_pod_per_worker_and_nothing_else(self) -> None:
        decision = plan(job().workers(3).obj(), observed(), NOW)
        assert kinds(decision) == ["Service", "Pod", "Pod", "Pod"]
        assert [c.name for c in decision.creates[1:]] == ["job-a-1-0", "job-a-1-1", "job-a-1-2"]
        assert decision.status.attempt == 1
        assert decision.status.phase is Phase.QUEUED
        assert decision.status.workers.created == 3

    def test_with_inline_code_gets_a_config_map_before_its_pods(self) -> None:
        decision = plan(job(source={"inline": {"train.py": "print(1)"}}).workers(1).obj(), observed(), NOW)
        assert kinds(decision) == ["ConfigMap", "Service", "Pod"]
        assert decision.creates[0].body["data"] == {"train.py": "print(1)"}

    def test_with_a_wrong_spec_fails_with_the_path_and_gets_nothing(self) -> None:
        decision = plan(job(workers=0).obj(), observed(), NOW)
        assert decision.creates == ()
        assert (decision.status.phase, decision.status.reason) == (Phase.FAILED, "InvalidSpec")
        assert "spec.workers" in decision.status.message
        accepted = find(decision.status.conditions, ConditionType.ACCEPTED)
        assert accepted is not None
        assert accepted.status == "False"

    def test_without_an_image_here_or_in_the_installation_is_told_to_name_one(self) -> None:
        bare = replace(observed(), installation=replace(INSTALLATION, framework_images={}))
        decision = plan(job().obj(), bare, NOW)
        assert (decision.status.reason, decision.creates) == ("InvalidSpec", ())
        assert "spec.image" in decision.status.message

    def test_whose_creation_was_cut_short_gets_only_what_is_missing(self) -> None:
        decision = plan(job().workers(3).obj(), observed(pod(worker=1)), NOW)
        assert [c.name for c in decision.creates if c.kind == "Pod"] == ["job-a-1-0", "job-a-1-2"]

    @pytest.mark.parametrize(
        ("code", "phase", "attempt"),
        [
            pytest.param(0, Phase.SUCCEEDED, 1, id="succeeded"),
            pytest.param(7, Phase.RESTARTING, 2, id="failed"),
        ],
    )
    def test_whose_pods_ended_before_any_status_was_written_has_had_its_first_attempt(
        self, code: int, phase: Phase, attempt: int
    ) -> None:
        decision = plan(job().obj(), observed(pod(worker=0).ended(code), pod(worker=1).ended(code)), NOW + seconds(9))
        accepted = find(decision.status.conditions, ConditionType.ACCEPTED)
        assert (decision.status.phase, decision.status.attempt) == (phase, attempt)
        assert decision.status.start_time == NOW
        assert accepted is not None
        assert accepted.status == "True"

    def test_deletes_the_pods_of_an_earlier_job_of_its_name(self) -> None:
        decision = plan(job().workers(1).obj(), observed(pod(owner="another-uid")), NOW)
        assert [d.name for d in decision.deletes] == ["job-a-1-0"]
        assert "Pod" in kinds(decision)


class TestPhases:
    @pytest.mark.parametrize(
        ("pods", "phase", "reason"),
        [
            pytest.param([pod(worker=0), pod(worker=1)], Phase.QUEUED, "WaitingForNodes", id="nothing held"),
            pytest.param(
                [pod(worker=0).unschedulable(), pod(worker=1).unschedulable()],
                Phase.QUEUED,
                "Unschedulable",
                id="unschedulable and nothing held",
            ),
            pytest.param(
                [pod(worker=0).scheduled(), pod(worker=1).unschedulable()],
                Phase.STARTING,
                "Unschedulable",
                id="one worker has a node",
            ),
            pytest.param(
                [pod(worker=0).started(), pod(worker=1).started()],
                Phase.STARTING,
                "WaitingForWorkers",
                id="containers run, nobody has joined",
            ),
            pytest.param(
                [pod(worker=0).joined(), pod(worker=1).started()],
                Phase.STARTING,
                "WaitingForWorkers",
                id="one has joined",
            ),
            pytest.param([pod(worker=0).joined(), pod(worker=1).joined()], Phase.RUNNING, "Training", id="all joined"),
            pytest.param(
                [pod(worker=0).joined(), pod(worker=1).ended(0)], Phase.RUNNING, "Training", id="one is already done"
            ),
            pytest.param(
                [pod(worker=0).scheduled(), pod(worker=1).waiting("ImagePullBackOff", "not found")],
                Phase.STARTING,
                "ImageError",
                id="image cannot be pulled",
            ),
            pytest.param(
                [pod(worker=0).waiting("CreateContainerConfigError", 'configmap "x" not found'), pod(worker=1)],
                Phase.STARTING,
                "ConfigError",
                id="container cannot be configured",
            ),
            pytest.param(
                [pod(worker=0).waiting("InvalidImageName", "couldn't parse image"), pod(worker=1)],
                Phase.FAILED,
                "InvalidImageName",
                id="image name can never work",
            ),
            pytest.param([pod(worker=0).ended(0), pod(worker=1).ended(0)], Phase.SUCCEEDED, "Completed", id="all done"),
        ],
    )
    def test_are_computed_from_all_facts(self, pods: list[PodBuilder], phase: Phase, reason: str) -> None:
        decision = plan(created(job()).obj(), observed(*pods), NOW)
        assert (decision.status.phase, decision.status.reason) == (phase, reason)

    def test_running_is_not_left_when_a_pod_is_unready_for_a_while(self) -> None:
        training = running(job())
        decision = plan(training.obj(), observed(pod(worker=0).joined(), pod(worker=1).started()), NOW)
        assert decision.status.phase is Phase.RUNNING

    def test_a_message_clears_when_the_obstacle_has_gone(self) -> None:
        stuck = follow(created(job()), pod(worker=0).waiting("ErrImagePull", "nope"), pod(worker=1).started())
        healed = follow(stuck, pod(worker=0).joined(), pod(worker=1).joined())
        assert healed.status.reason == "Training"
        assert "nope" not in healed.status.message

    def test_a_sidecar_that_runs_on_does_not_keep_the_job_alive(self) -> None:
        done = pod(worker=0).ended(0).of(phase="Running")
        decision = plan(created(job().workers(1)).obj(), observed(done), NOW)
        assert decision.status.phase is Phase.SUCCEEDED

    def test_a_silent_pod_is_asked_for_its_events_and_they_become_the_message(self) -> None:
        start = created(job().workers(1)).obj()
        silent = pod(worker=0).waiting("ContainerCreating")
        later = NOW + seconds(4)
        assert plan(start, observed(silent), NOW).inspect == ()
        assert plan(start, observed(silent), later).inspect == ("job-a-1-0",)
        words = 'MountVolume.SetUp failed for volume "code": configmap "code" not found'
        told = plan(start, observed(silent, warnings={"job-a-1-0": words}), later)
        assert told.status.reason == "ConfigError"
        assert 'volume code: configmap "code" not found' in told.status.message


class TestAFailedAttempt:
    def test_is_recorded_first_and_acted_upon_afterwards(self) -> None:
        training = running(job())
        pods = [pod(worker=0).joined(), pod(worker=1).ended(3, message=report(message="rank 1 ended with 3"))]
        decision = plan(training.obj(), observed(*pods), NOW)
        assert (decision.creates, decision.deletes) == ((), ())
        assert decision.requeue_after == 0
        assert decision.status.phase is Phase.RESTARTING
        assert decision.status.attempt == 2
        assert decision.status.failures[-1].exit_code == 3
        assert decision.status.failure_counts == {"UserError": 1}
        assert decision.status.restarts_used == 1

        acted = plan(training.with_status(decision.status).obj(), observed(*pods), NOW)
        assert {d.name for d in acted.deletes} == {"job-a-1-0", "job-a-1-1"}
        assert [c.name for c in acted.creates if c.kind == "Pod"] == ["job-a-2-0", "job-a-2-1"]

    def test_is_decided_on_the_first_failure_while_others_still_run(self) -> None:
        decision = plan(running(job()).obj(), observed(pod(worker=0).joined(), pod(worker=1).ended(1)), NOW)
        assert decision.status.phase is Phase.RESTARTING

    def test_beyond_the_budget_ends_the_job(self) -> None:
        last = running(job().max_restarts(0))
        decision = plan(last.obj(), observed(pod(worker=0).joined(), pod(worker=1).ended(1)), NOW)
        assert (decision.status.phase, decision.status.reason) == (Phase.FAILED, "UserError")
        assert "0 of 0 restarts" in decision.status.message

    def test_of_a_program_that_does_not_fit_the_job_ends_it_without_another_attempt(self) -> None:
        told = report(cause="ConfigError", message="rank 0 trains alone")
        failed = pod(worker=0).ended(78, message=told)
        decision = plan(running(job()).obj(), observed(failed, pod(worker=1).joined()), NOW)
        assert (decision.status.phase, decision.status.reason) == (Phase.FAILED, "ConfigError")
        assert "rank 0 trains alone" in decision.status.message

    def test_restarts_in_place_and_attempts_share_one_budget(self) -> None:
        training = running(job().max_restarts(3))
        pods = [pod(worker=w).ended(1, message=report(message="again", restarts=2)) for w in (0, 1)]
        once = follow(training, *pods)
        assert (once.status.phase, once.status.restarts_used) == (Phase.RESTARTING, 3)
        again = [pod(worker=w, attempt=2).ended(1, message=report(message="again")) for w in (0, 1)]
        assert follow(once.with_status(workers=training.status.workers), *again).status.phase is Phase.FAILED

    @pytest.mark.parametrize(
        ("left", "in_place"),
        [
            pytest.param(3, "2", id="one is kept for new pods"),
            pytest.param(1, "1", id="the last may be in place"),
            pytest.param(0, "0", id="none"),
        ],
    )
    def test_a_pod_is_told_how_often_it_may_restart_in_place(self, left: int, in_place: str) -> None:
        decision = plan(job().max_restarts(left).workers(1).obj(), observed(), NOW)
        env = {e["name"]: e["value"] for e in decision.creates[-1].body["spec"]["containers"][0]["env"]}
        assert env["REGATTA_RESTARTS"] == in_place

    def test_that_lost_a_pod_to_somebody_restarts_without_spending_the_budget(self) -> None:
        training = running(job().max_restarts(0))
        decision = plan(training.obj(), observed(pod(worker=0).joined()), NOW)
        assert decision.status.phase is Phase.RESTARTING
        assert decision.status.failures[-1].cause == "PodDeleted"
        assert decision.status.restarts_used == 0

    def test_a_symptom_waits_a_moment_for_the_culprit(self) -> None:
        training = running(job()).obj()
        lost = pod(worker=0).ended(72, message=report(cause="WorkerLost", message="worker 1 is lost"))
        held = plan(training, observed(lost, pod(worker=1).joined()), NOW)
        assert held.status == training.status
        assert held.requeue_after == 3
        told = plan(training, observed(lost, pod(worker=1).ended(137, reason="OOMKilled")), NOW)
        assert told.status.failures[-1].cause == "OOMKilled"
        late = plan(training, observed(lost, pod(worker=1).joined()), NOW + seconds(3))
        assert late.status.failures[-1].cause == "CrewLost"

    def test_a_lost_pod_is_given_little_time_to_end_and_the_others_all_they_have(self) -> None:
        training = running(job())
        told = report(cause="WorkerLost", message="the launcher of worker 1 no longer answers", worker=1)
        crew = (pod(worker=0).ended(72, message=told), pod(worker=1).joined())
        failed = plan(training.obj(), observed(*crew), NOW + seconds(3))
        after = plan(training.with_status(failed.status).obj(), observed(*crew), NOW + seconds(3))
        assert {delete.name: delete.grace_seconds for delete in after.deletes} == {"job-a-1-0": None, "job-a-1-1": 10}

    def test_pauses_longer_after_every_failure_and_holds_nothing_meanwhile(self) -> None:
        current = running(job().max_restarts(9))
        pauses = []
        for attempt in range(1, 6):
            failed = [pod(worker=w, attempt=attempt).ended(1) for w in (0, 1)]
            current = follow(current.with_status(workers=running(job()).status.workers, next_try_time=None), *failed)
            again = current.status.next_try_time
            pauses.append((again - NOW).total_seconds() if again else 0)
        assert pauses[0] == 0
        assert pauses == sorted(pauses)
        assert 6 <= pauses[-1] <= 10
        waiting = plan(current.obj(), observed(pod(worker=0, attempt=5).joined()), NOW)
        assert waiting.creates == ()
        assert [d.name for d in waiting.deletes] == ["job-a-5-0"]
        assert waiting.requeue_after == pauses[-1]


class TestTheEnd:
    def test_is_latched_whatever_becomes_of_the_pods(self) -> None:
        done = follow(running(job()), pod(worker=0).ended(0), pod(worker=1).ended(0))
        assert done.status.phase is Phase.SUCCEEDED
        for pods in ([], [pod(worker=0).ended(1)], [pod(worker=0).joined()]):
            later = plan(done.obj(), observed(*pods), NOW + seconds(99))
            assert later.status == done.status
            assert later.creates == ()

    def test_deletes_what_still_runs_and_keeps_what_finished(self) -> None:
        failed = follow(running(job().max_restarts(0)), pod(worker=0).joined(), pod(worker=1).ended(1))
        decision = plan(failed.obj(), observed(pod(worker=0).joined(), pod(worker=1).ended(1)), NOW)
        assert [d.name for d in decision.deletes] == ["job-a-1-0"]

    def test_keeps_what_has_ended_though_its_phase_does_not_say_so_yet(self) -> None:
        pods = [pod(worker=w).ended(0).of(phase="Running") for w in (0, 1)]
        done = follow(running(job()), *pods)
        assert plan(done.obj(), observed(*pods), NOW).deletes == ()

    def test_counts_restarts_that_the_crew_made_in_place(self) -> None:
        message = report(outcome="Succeeded", restarts=2)
        done = follow(running(job()), *(pod(worker=w).ended(0, message=message) for w in (0, 1)))
        assert done.status.restarts_used == 2
        assert "after 2 restarts" in done.status.message

    def test_shows_how_far_the_last_words_say_it_came(self) -> None:
        message = report(
            outcome="Succeeded", progress={"step": 80, "totalSteps": 80, "epoch": 2}, pace={"stepSeconds": 0.5}
        )
        done = follow(running(job()), *(pod(worker=w).ended(0, message=message) for w in (0, 1)))
        assert done.status.progress is not None
        assert (done.status.progress.step, done.status.progress.fraction) == (80, 1.0)
        assert done.status.efficiency == {"stepSeconds": 0.5}

    def test_pods_of_a_deleted_job_are_deleted_once(self) -> None:
        assert [d.name for d in orphans([pod().joined().obj(), pod(worker=1).deleting().obj()])] == ["job-a-1-0"]


class TestTheStartingDeadline:
    def test_fails_the_job_with_the_obstacle_it_met(self) -> None:
        start = created(job(deadlines={"starting": 60}))
        pods = [pod(worker=0).waiting("ImagePullBackOff", "manifest unknown"), pod(worker=1).scheduled()]
        early = plan(start.obj(), observed(*pods), NOW + seconds(59))
        assert early.status.phase is Phase.STARTING
        assert early.requeue_after == 1
        late = plan(start.obj(), observed(*pods), NOW + seconds(60))
        assert (late.status.phase, late.status.reason) == (Phase.FAILED, "StartingDeadline")
        assert "manifest unknown" in late.status.message

    def test_does_not_run_while_nothing_is_held(self) -> None:
        start = created(job(deadlines={"starting": 60}))
        decision = plan(start.obj(), observed(pod(worker=0).unschedulable(), pod(worker=1)), NOW + seconds(9999))
        assert decision.status.phase is Phase.QUEUED


class TestCreationThatFails:
    def failure(self, failure: FailureKind, **fields: object) -> Outcome:
        defaults = {"kind": "Pod", "name": "job-a-1-1", "message": "the server's words"}
        return Outcome(failures=(CreateFailure(failure=failure, **{**defaults, **fields}),))  # type: ignore[arg-type]

    def settled(self, failure: FailureKind, **fields: object) -> Plan:
        start = job().obj()
        return settle(start, plan(start, observed(), NOW), self.failure(failure, **fields), NOW)

    def test_for_quota_queues_the_job_with_the_numbers_and_a_next_try(self) -> None:
        result = self.settled(FailureKind.QUOTA_EXCEEDED, message="exceeded quota: q, used: pods=1, limited: pods=1")
        assert (result.status.phase, result.status.reason) == (Phase.QUEUED, "QuotaExceeded")
        assert "limited: pods=1" in result.status.message
        assert result.status.next_try_time == NOW + seconds(5)

    def test_for_quota_releases_what_was_created_without_calling_it_a_failure(self) -> None:
        waiting = job().with_status(self.settled(FailureKind.QUOTA_EXCEEDED).status)
        release = plan(waiting.obj(), observed(pod(worker=0).started()), NOW)
        assert [d.name for d in release.deletes] == ["job-a-1-0"]
        assert release.status.failures == ()
        gone = plan(waiting.obj(), observed(pod(worker=0).started().deleting()), NOW + seconds(6))
        assert gone.creates == ()
        assert gone.status.failures == ()
        again = plan(waiting.obj(), observed(), NOW + seconds(6))
        assert len([c for c in again.creates if c.kind == "Pod"]) == 2

    def test_for_quota_waits_longer_the_longer_it_lasts_but_a_minute_at_most(self) -> None:
        waiting = job().with_status(self.settled(FailureKind.QUOTA_EXCEEDED).status)
        for after, wait in ((20, 20), (4000, 60)):
            later = NOW + seconds(after)
            again = settle(
                waiting.obj(),
                plan(waiting.obj(), observed(), later),
                self.failure(FailureKind.QUOTA_EXCEEDED),
                later,
            )
            assert again.status.next_try_time == later + seconds(wait)

    def test_because_the_object_is_wrong_fails_the_job(self) -> None:
        result = self.settled(FailureKind.INVALID, message="spec.containers[0].image: Required value")
        assert (result.status.phase, result.status.reason) == (Phase.FAILED, "InvalidSpec")
        assert "Required value" in result.status.message

    def test_because_the_name_is_taken_says_whose_and_what_to_do(self) -> None:
        result = self.settled(FailureKind.NAME_TAKEN, kind="Service", name="job-a", message="belongs to somebody else")
        assert result.status.reason == "CreateError"
        assert "Service job-a" in result.status.message
        assert "another name" in result.status.message

    def test_for_a_moment_keeps_what_exists_and_adds_the_rest_soon(self) -> None:
        result = self.settled(FailureKind.UNAVAILABLE, retry_after=7.0)
        assert result.status.workers.created == 1
        assert result.requeue_after == 7
        follow_up = plan(job().with_status(result.status).obj(), observed(pod(worker=0)), NOW)
        assert [c.name for c in follow_up.creates if c.kind == "Pod"] == ["job-a-1-1"]
        assert follow_up.status.failures == ()


def test_equal_facts_give_equal_plans() -> None:
    arguments = (running(job()).obj(), observed(pod(worker=0).joined(), pod(worker=1).ended(1)), NOW)
    assert plan(*arguments) == plan(*arguments)


def test_a_steady_job_asks_for_no_write() -> None:
    training = running(job())
    pods = [pod(worker=0).joined(), pod(worker=1).joined()]
    decision = plan(training.obj(), observed(*pods), NOW + seconds(50))
    assert decision.status == training.status
    assert (decision.creates, decision.deletes, decision.events) == ((), (), ())


def test_an_unreadable_spec_of_a_running_job_changes_nothing() -> None:
    broken = running(job()).spec(framework="Nonsense").obj()
    assert broken.spec is None
    decision = plan(broken, observed(pod(worker=0).joined()), NOW)
    assert decision == Plan(status=broken.status)
    assert broken.status != TrainingJobStatus()
    assert broken.uid == UID
