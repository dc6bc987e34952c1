"""Each job's series are there while the job is, a quarter of an hour longer than it trains, and no longer."""

from __future__ import annotations

from typing import Any

from regatta.api.status import Phase, TrainingJobStatus
from regatta.plan.model import Job
from regatta.telemetry.jobseries import KEPT_SECONDS, JobSeries
from tests.builders import NOW, job, seconds
from tests.unit.telemetry.exposition import families, problems, value

STATUS = TrainingJobStatus(
    phase=Phase.RUNNING,
    attempt=2,
    ledger={"queued": 10.0, "gang_wait": 2.0, "step": 30.5, "unmeasured": 1.0},
    failure_counts={"NodeLost": 1, "NodeShutdown": 2, "CrewLost": 1},
)


class Clock:
    now = NOW.timestamp()


def series(clock: type[Clock] = Clock) -> JobSeries:
    return JobSeries(now=lambda: clock.now)


def a_job(name: str = "job-a", status: TrainingJobStatus = STATUS, **spec: Any) -> Job:
    return job(name, gpusPerWorker=4, **spec).with_status(status).obj()


def told(store: JobSeries) -> str:
    return store.snapshot()().decode()


def ended(**fields: Any) -> TrainingJobStatus:
    return STATUS.model_copy(update={"phase": Phase.SUCCEEDED, "completion_time": NOW, **fields})


def test_a_job_is_told_in_all_its_families() -> None:
    store = series()
    store.put(a_job(scheduling={"priorityClassName": "high"}), bound=1)
    text = told(store)
    own = {"namespace": "team", "trainingjob": "job-a"}
    rows = {
        name: [({k: v for k, v in labels.items() if k not in own}, number) for labels, number in found]
        for name, found in families(text).items()
    }
    assert rows == {
        "regatta_trainingjob_info": [({"framework": "PyTorch", "queue": "", "priority_class": "high"}, 1)],
        "regatta_trainingjob_phase": [({"phase": "Running"}, 1)],
        "regatta_trainingjob_created_timestamp_seconds": [({}, NOW.timestamp())],
        "regatta_trainingjob_attempt": [({}, 2)],
        "regatta_trainingjob_pods_desired": [({}, 2)],
        "regatta_trainingjob_pods_ready": [({}, 0)],
        "regatta_trainingjob_accelerators": [({"resource": "nvidia.com/gpu"}, 8)],
        "regatta_trainingjob_accelerator_seconds_total": [
            ({"state": "gang_wait"}, 16.0),
            ({"state": "step"}, 244.0),
            ({"state": "unmeasured"}, 8.0),
        ],
        "regatta_trainingjob_time_seconds_total": [
            ({"state": "queued"}, 10.0),
            ({"state": "gang_wait"}, 2.0),
            ({"state": "step"}, 30.5),
            ({"state": "unmeasured"}, 1.0),
        ],
        "regatta_trainingjob_failures_total": [({"cause": "node_lost"}, 3), ({"cause": "other"}, 1)],
    }


def test_what_is_served_is_well_formed_with_many_jobs() -> None:
    store = series()
    for number in range(50):
        store.put(a_job(f"job-{number}"), bound=0)
    store.put(job("cpu-only").with_status(STATUS).obj(), bound=0)
    store.put(job("refused", framework="Nonsense").obj(), bound=0)
    assert problems(told(store)) == []


def test_nothing_of_a_deleted_job_is_left() -> None:
    store = series()
    store.put(a_job("stays"), bound=2)
    before = told(store), dict(store.counts), dict(store.requested), dict(store.allocated)
    store.put(a_job("goes", gpuResource="example.test/odd"), bound=1)
    store.remove(("team", "goes"))
    store.remove(("team", "never-there"))
    assert (told(store), store.counts, store.requested, store.allocated) == before


def test_an_ended_job_is_told_for_a_quarter_of_an_hour() -> None:
    class Now(Clock):
        pass

    store = series(Now)
    store.put(a_job(status=ended()), bound=0)
    Now.now += KEPT_SECONDS - 1
    assert value(told(store), "regatta_trainingjob_phase", phase="Succeeded") == 1
    Now.now += 2
    assert told(store) == ""
    assert store.counts == {("team", "PyTorch", "Succeeded"): 1}, "it is still there"


def test_a_job_that_ended_long_ago_is_not_told_by_a_new_leader() -> None:
    store = series()
    store.put(a_job(status=ended(completion_time=NOW - seconds(KEPT_SECONDS + 1))), bound=0)
    assert told(store) == ""


def test_a_job_of_the_same_name_is_not_taken_for_the_one_before() -> None:
    class Now(Clock):
        pass

    store = series(Now)
    store.put(a_job(status=ended()), bound=0)
    fresh = a_job()
    store.put(Job(**{**{name: getattr(fresh, name) for name in Job.__dataclass_fields__}, "uid": "another"}), bound=0)
    Now.now += KEPT_SECONDS + 1
    assert value(told(store), "regatta_trainingjob_phase", phase="Running") == 1


def test_sums_follow_the_jobs() -> None:
    store = series()
    store.put(a_job("runs"), bound=2)
    store.put(a_job("waits", STATUS.model_copy(update={"phase": Phase.QUEUED})), bound=0)
    store.put(a_job("sleeps", STATUS.model_copy(update={"phase": Phase.SUSPENDED})), bound=0)
    gpu = ("team", "nvidia.com/gpu")
    assert store.requested == {gpu: 16}
    assert store.allocated == {gpu: 8}
    store.put(a_job("runs", ended()), bound=0)
    assert store.requested == {gpu: 8}
    assert store.allocated == {}
    assert sum(store.counts.values()) == 3


def test_another_leader_leaves_nothing_to_tell() -> None:
    store = series()
    store.put(a_job(), bound=2)
    store.clear()
    assert told(store) == ""
    assert store.counts == store.requested == store.allocated == {}
