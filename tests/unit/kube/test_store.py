"""Whatever order lists, watch events and answers to writes arrive in, the store ends up with the server's truth."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from regatta.kube.records import version_number
from regatta.kube.store import PodStore
from regatta.plan.model import PodFacts
from tests.builders import pod

JOB = ("team", "job-a")


class Listener:
    """Remembers which jobs were told to have changed."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, str]] = []

    def __call__(self, job: tuple[str, str]) -> None:
        self.jobs.append(job)

    def taken(self) -> list[tuple[str, str]]:
        taken, self.jobs = self.jobs, []
        return taken


def record(version: int, *, worker: int = 0, uid: str = "uid", ip: str = "") -> PodFacts:
    return replace(pod(worker=worker).obj(), resource_version=str(version), uid=uid, ip=ip)


def store() -> tuple[PodStore, Listener]:
    listener = Listener()
    return PodStore(changed=listener), listener


def test_only_a_record_that_says_something_new_is_told() -> None:
    pods, told = store()
    pods.replace(None, pods=[record(1)], resource_version="1")
    assert told.taken() == [JOB]
    pods.event(None, deleted=False, pod=record(2))
    assert told.taken() == []
    pods.event(None, deleted=False, pod=record(3, ip="10.0.0.1"))
    assert told.taken() == [JOB]


def test_a_list_tells_what_vanished_while_nobody_watched() -> None:
    pods, told = store()
    pods.replace(None, pods=[record(1), record(2, worker=1)], resource_version="5")
    told.taken()
    pods.replace(None, pods=[record(1)], resource_version="9")
    assert told.taken() == [JOB]
    assert [p.worker for p in pods.pods(JOB)] == [0]


def test_a_list_says_whether_it_brought_news() -> None:
    pods, _ = store()
    assert pods.replace(None, pods=[record(1), record(2, worker=1)], resource_version="5")
    assert not pods.replace(None, pods=[record(1), record(2, worker=1)], resource_version="6")
    assert pods.replace(None, pods=[record(7), record(2, worker=1)], resource_version="8")  # a later version
    assert pods.replace(None, pods=[record(7)], resource_version="9")  # one fewer
    pods.upsert(record(12, worker=3))
    assert not pods.replace(None, pods=[record(7)], resource_version="10")  # older than what we made ourselves
    assert not pods.replace(None, pods=[record(7), record(12, worker=3)], resource_version="13")


def test_the_answer_to_a_create_is_known_at_once() -> None:
    pods, told = store()
    pods.replace(None, pods=[], resource_version="5")
    pods.upsert(record(6))
    assert told.taken() == [JOB]
    assert pods.get("team", "job-a-1-0") == record(6)


def test_an_answer_that_comes_after_the_pods_end_is_ignored() -> None:
    pods, _ = store()
    pods.replace(None, pods=[], resource_version="5")
    pods.event(None, deleted=False, pod=record(6))
    pods.event(None, deleted=True, pod=record(7))
    pods.upsert(record(6))
    assert pods.pods(JOB) == ()


def test_an_answer_never_overwrites_what_the_watch_told_later() -> None:
    pods, _ = store()
    pods.replace(None, pods=[], resource_version="5")
    pods.event(None, deleted=False, pod=record(8, ip="10.0.0.1"))
    pods.upsert(record(6))
    assert pods.get("team", "job-a-1-0") == record(8, ip="10.0.0.1")


def test_a_list_made_before_our_create_does_not_undo_it() -> None:
    pods, _ = store()
    pods.upsert(record(8))
    pods.replace(None, pods=[], resource_version="7")
    assert pods.pods(JOB) == (record(8),)


def test_the_watch_of_the_past_does_not_bring_back_what_a_newer_list_lacks() -> None:
    pods, _ = store()
    pods.replace(None, pods=[], resource_version="20")
    pods.event(None, deleted=False, pod=record(11))
    assert pods.pods(JOB) == ()


def test_the_end_of_an_earlier_pod_of_that_name_does_not_end_its_successor() -> None:
    pods, _ = store()
    pods.replace(None, pods=[record(5, uid="old")], resource_version="5")
    pods.upsert(record(9, uid="new"))
    pods.event(None, deleted=True, pod=record(7, uid="old"))
    assert [p.uid for p in pods.pods(JOB)] == ["new"]


def test_a_pod_whose_label_changes_leaves_one_job_and_joins_the_other() -> None:
    pods, told = store()
    pods.replace(None, pods=[record(1)], resource_version="1")
    told.taken()
    pods.event(None, deleted=False, pod=replace(record(2), job="other"))
    assert set(told.taken()) == {JOB, ("team", "other")}
    assert pods.pods(JOB) == ()
    assert pods.jobs() == (("team", "other"),)


def test_a_server_whose_history_was_rewound_is_believed() -> None:
    pods, _ = store()
    pods.replace(None, pods=[record(50), record(60, worker=1)], resource_version="100")
    pods.replace(None, pods=[record(10)], resource_version="20")
    assert pods.pods(JOB) == (record(10),)
    pods.event(None, deleted=False, pod=record(21, worker=2))
    assert [p.worker for p in pods.pods(JOB)] == [0, 2]


def test_scopes_do_not_touch_each_others_pods() -> None:
    pods = PodStore(scopes=("team", "other"), changed=lambda _: None)
    pods.replace("team", pods=[record(1)], resource_version="1")
    pods.replace("other", pods=[], resource_version="50")
    assert len(pods) == 1
    assert (pods.seen("team"), pods.seen("other")) == (1, 50)


class Truth(RuleBasedStateMachine):
    """A server with one history of versions, a watch that lags behind it, lists at any time, answers at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 10
        self.pods: dict[int, PodFacts] = {}
        self.history: list[tuple[bool, PodFacts]] = []
        self.watched = 0
        self.answers: list[PodFacts] = []
        self.store = PodStore(changed=lambda _: None)

    @initialize()
    def first_list(self) -> None:
        self.list()

    def _next(self) -> int:
        self.version += 1
        return self.version

    @rule(worker=st.integers(0, 3), ours=st.booleans())
    def create(self, worker: int, ours: bool) -> None:
        if worker in self.pods:
            return
        version = self._next()
        self.pods[worker] = made = record(version, worker=worker, uid=f"uid-{version}")
        self.history.append((False, made))
        if ours:
            self.answers.append(made)

    @rule(worker=st.integers(0, 3))
    def modify(self, worker: int) -> None:
        if worker in self.pods:
            version = self._next()
            self.pods[worker] = replace(self.pods[worker], resource_version=str(version), ip=f"10.0.0.{version % 250}")
            self.history.append((False, self.pods[worker]))

    @rule(worker=st.integers(0, 3))
    def delete(self, worker: int) -> None:
        if worker in self.pods:
            last = replace(self.pods.pop(worker), resource_version=str(self._next()))
            self.history.append((True, last))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer_arrives(self, data: st.DataObject) -> None:
        self.store.upsert(self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1))))

    @precondition(lambda self: self.watched < len(self.history))
    @rule(count=st.integers(1, 3))
    def watch_tells(self, count: int) -> None:
        for deleted, told in self.history[self.watched : self.watched + count]:
            self.store.event(None, deleted=deleted, pod=told)
        self.watched = min(len(self.history), self.watched + count)

    @rule()
    def list(self) -> None:
        """A new list while the old watch goes on where it was: what it tells next is the past."""
        self.store.replace(None, pods=list(self.pods.values()), resource_version=str(self.version))

    @rule()
    def watch_is_taken_up_anew(self) -> None:
        self.list()
        self.watched = len(self.history)

    @invariant()
    def nothing_known_to_be_gone_is_kept(self) -> None:
        seen = self.store.seen(None)
        ended = {
            told.uid for deleted, told in self.history if deleted and version_number(told.resource_version) <= seen
        }
        assert not ended & {known.uid for known in self.store.pods(JOB)}

    @invariant()
    def in_the_end_the_store_has_the_truth(self) -> None:
        """Told everything that is still under way, a copy of the store equals the server."""
        copy = PodStore(changed=lambda _: None)
        copy.replace(None, pods=self.store.pods(JOB), resource_version=str(self.store.seen(None)))
        for late in self.answers:
            copy.upsert(late)
        for deleted, told in self.history[self.watched :]:
            copy.event(None, deleted=deleted, pod=told)
        for late in self.answers:
            copy.upsert(late)
        assert {known.name: known for known in copy.pods(JOB)} == {truth.name: truth for truth in self.pods.values()}


TestTruth = Truth.TestCase
TestTruth.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(versions=st.lists(st.integers(1, 30), min_size=1, max_size=8, unique=True))
def test_answers_in_any_order_leave_the_newest(versions: list[int]) -> None:
    pods, _ = store()
    pods.replace(None, pods=[], resource_version="0")
    for version in versions:
        pods.upsert(record(version, ip=f"10.0.0.{version}"))
    assert [p.resource_version for p in pods.pods(JOB)] == [str(max(versions))]
