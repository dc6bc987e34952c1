"""The planner against an adversary: pods end, vanish and hang, creations fail, and the operator is killed anywhere.

The world here is a few dictionaries that carry plans out, object by object; hypothesis decides what happens between
any two of the writes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from regatta.api.status import FailureAction, Phase, TrainingJobStatus
from regatta.plan.model import CreateFailure, FailureKind, Observed, Outcome, PodFacts
from regatta.plan.plan import plan
from regatta.plan.report import CrewFailure, CrewWords
from regatta.plan.settle import settle
from tests.builders import INSTALLATION, NOW, job, pod

WORKERS = 3
BUDGET = 2
FAILURES = [FailureKind.QUOTA_EXCEEDED, FailureKind.UNAVAILABLE, FailureKind.TERMINATING, FailureKind.FORBIDDEN]


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.builder = job(workers=WORKERS, restart={"maxRestarts": BUDGET})
        self.now = NOW
        self.pods: dict[str, PodFacts] = {}
        self.stored = TrainingJobStatus()
        self.born: set[tuple[int, int, str]] = set()
        self.serial = 0
        self.in_place = 0
        """Restarts that the crew of the current attempt made in its pods."""

    # -- what the operator does ------------------------------------------------------------------------------------

    @rule(
        # Mostly health, so that lives get long enough to be interesting.
        crash_after=st.sampled_from([99, 99, 99, 0, 1, 2, 4]),
        refuse_from=st.sampled_from([99, 99, 99, 99, 0, 1, 2]),
        failure=st.sampled_from(FAILURES),
    )
    def reconcile(self, crash_after: int, refuse_from: int, failure: FailureKind) -> None:
        """Carry one plan out; the operator dies after `crash_after` writes, the server refuses pods from one on."""
        current = self.builder.with_status(self.stored).obj()
        seen = Observed(installation=INSTALLATION, pods=tuple(self.pods.values()), crew=self._words())
        decision = plan(current, seen, self.now)
        assert decision == plan(current, seen, self.now)
        writes = 0
        failures = []
        for delete in decision.deletes:
            if writes == crash_after:
                return
            writes += 1
            self._delete(delete.name, delete.uid)
        for number, create in enumerate(c for c in decision.creates if c.kind == "Pod"):
            if writes == crash_after:
                return
            writes += 1
            if number >= refuse_from:
                failures.append(CreateFailure(kind="Pod", name=create.name, failure=failure, message="refused"))
            elif create.name in self.pods:
                failures.append(
                    CreateFailure(kind="Pod", name=create.name, failure=FailureKind.TERMINATING, message="terminating")
                )
            else:
                self._create(create.name, create.body["metadata"]["labels"])
        if current.spec is not None and current.spec.suspend:
            assert decision.creates == (), "a suspended job gets nothing"
        if decision.creates:
            attempts = {int(c.body["metadata"]["labels"]["regatta.dev/attempt"]) for c in decision.creates[1:]}
            assert attempts == {max(1, self.stored.attempt)}, "pods are made only for an attempt that is stored"
        settled = settle(current, decision, Outcome(failures=tuple(failures)), self.now)
        if writes < crash_after:
            self._store(settled.status)

    def _create(self, name: str, labels: dict[str, str]) -> None:
        attempt, worker = int(labels["regatta.dev/attempt"]), int(labels["regatta.dev/worker"])
        assert not [p for p in self.pods.values() if (p.attempt, p.worker) == (attempt, worker)]
        self.serial += 1
        facts = pod(attempt=attempt, worker=worker).obj()
        self.pods[name] = replace(facts, uid=f"uid-{self.serial}")

    def _delete(self, name: str, uid: str) -> None:
        found = self.pods.get(name)
        if found is not None and found.uid == uid:
            self.pods[name] = replace(found, deleting_since=self.now)

    def _store(self, status: TrainingJobStatus) -> None:
        before = self.stored
        if before.phase is not None and before.phase.terminal:
            assert status == before, "the end is latched"
        assert status.attempt >= before.attempt
        assert status.restarts_used >= before.restarts_used
        assert sum(status.failure_counts.values()) >= sum(before.failure_counts.values())
        assert status.restarts_in_place >= before.restarts_in_place
        assert status.active_seconds >= before.active_seconds
        failed_attempts = [f.attempt for f in status.failures if f.action is not FailureAction.RESTARTED_IN_PLACE]
        assert failed_attempts == sorted(set(failed_attempts)), "an attempt fails once"
        if before.phase is Phase.QUEUED and before.next_try_time is not None:
            assert status.failures == before.failures, "waiting is no failure"
        assert TrainingJobStatus.from_api(status.to_api()) == status
        assert all(status.ledger.get(state, 0.0) >= spent for state, spent in before.ledger.items())
        booked = sum(status.ledger.values())
        assert booked <= (self.now - NOW).total_seconds() + 0.01
        if status.completion_time is not None and before.completion_time is None:
            assert booked >= (status.completion_time - NOW).total_seconds() - 0.01, "the ledger adds up to its life"
        if status.attempt != before.attempt:
            self.in_place = 0
        if status.phase is not before.phase:
            assert status.phase_since == self.now
        self.stored = status

    def _words(self) -> CrewWords | None:
        if self.stored.phase is not Phase.RUNNING:
            return None
        failures = tuple(
            CrewFailure(
                generation=number + 1,
                cause="UserError",
                worker=0,
                rank=0,
                exit_code=1,
                message="rank 0 exited with code 1",
                at=self.now,
                lost_seconds=1.0,
            )
            for number in range(self.in_place)
        )[-5:]
        return CrewWords(
            heard_at=self.now,
            attempt=self.stored.attempt,
            restarts=self.in_place,
            failures=failures,
            generation=self.in_place + 1,
            progress=None,
        )

    # -- what the user does ----------------------------------------------------------------------------------------

    @rule(suspend=st.sampled_from([True, False, False]))
    def the_user_suspends_or_resumes(self, suspend: bool) -> None:
        self.builder = self.builder.spec(suspend=suspend)

    # -- what the world does ---------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0, 1, 5, 70, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.stored.phase is Phase.RUNNING and self.stored.restarts_used < BUDGET)
    @rule()
    def the_crew_restarts_in_place(self) -> None:
        """Never more often than its pods were told they may, which the budget bounds."""
        if self.stored.restarts_used + self.in_place - self.stored.attempt_restarts < BUDGET:
            self.in_place += 1

    @precondition(lambda self: self.pods)
    @rule(data=st.data())
    def a_pod_changes(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.pods)))
        old = self.pods[name]
        builder = pod(attempt=old.attempt, worker=old.worker)
        change = data.draw(
            st.sampled_from(["scheduled", "joined", "succeeded", "failed", "oom", "lost", "deleted", "gone"])
        )
        if change == "gone" or (old.deleting_since is not None and change != "succeeded"):
            del self.pods[name]
            return
        made = {
            "scheduled": builder.scheduled(self.now),
            "joined": builder.joined(self.now),
            "succeeded": builder.ended(0, at=self.now),
            "failed": builder.ended(1, at=self.now),
            "oom": builder.ended(137, reason="OOMKilled", at=self.now),
            "lost": builder.ended(72, at=self.now),
            "deleted": builder.joined(self.now).deleting(self.now),
        }[change].obj()
        self.pods[name] = replace(made, uid=old.uid, deleting_since=made.deleting_since or old.deleting_since)

    @rule(end=st.sampled_from(["failed", "failed", "oom", "lost", "succeeded"]))
    def a_whole_attempt_passes(self, end: str) -> None:
        """The common course of things in one step, or random walks would seldom get past the first failure."""
        self.now += timedelta(seconds=400)
        for _ in range(3):
            self.pods = {name: p for name, p in self.pods.items() if p.deleting_since is None}
            self.reconcile(crash_after=99, refuse_from=99, failure=FailureKind.UNAVAILABLE)
        for name, old in sorted(self.pods.items()):
            if old.phase not in {"Succeeded", "Failed"} and (end == "succeeded" or old.worker == 0):
                builder = pod(attempt=old.attempt, worker=old.worker)
                codes = {"failed": builder.ended(1), "oom": builder.ended(137, reason="OOMKilled")}
                self.pods[name] = replace(codes.get(end, builder.ended(72 if end == "lost" else 0)).obj(), uid=old.uid)

    # -- what must hold at any moment --------------------------------------------------------------------------------

    @invariant()
    def the_budget_is_kept(self) -> None:
        assert self.stored.restarts_used <= BUDGET
        assert self.stored.restarts_in_place <= self.stored.restarts_used
        assert self.stored.attempt_restarts == min(self.in_place, self.stored.attempt_restarts)
        counted = sum(self.stored.failure_counts.get(cause, 0) for cause in ("UserError", "OOMKilled", "CreateError"))
        assert counted <= BUDGET + 1

    @invariant()
    def nothing_runs_for_an_attempt_that_was_never_stored(self) -> None:
        assert all(p.attempt <= max(1, self.stored.attempt) for p in self.pods.values())

    def teardown(self) -> None:
        """Left in peace, with the cluster healthy again, every job ends: no state is a trap."""
        self.builder = self.builder.spec(suspend=False)
        for _ in range(60):
            if self.stored.phase is not None and self.stored.phase.terminal:
                break
            self.pods = {n: p for n, p in self.pods.items() if p.deleting_since is None}
            self.reconcile(crash_after=99, refuse_from=99, failure=FailureKind.UNAVAILABLE)
            self.now += timedelta(seconds=30)
            self.pods = {
                n: p
                if p.phase in {"Succeeded", "Failed"}
                else replace(pod(attempt=p.attempt, worker=p.worker).ended(0, at=self.now).obj(), uid=p.uid)
                for n, p in self.pods.items()
                if p.deleting_since is None
            }
        assert self.stored.phase in (Phase.SUCCEEDED, Phase.FAILED), f"stuck: {self.stored}"


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
