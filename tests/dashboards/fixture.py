"""The story as Prometheus would have scraped it: OpenMetrics text with timestamps, for `promtool tsdb`."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

from tests.dashboards.story import END, JOBS, START, Job, Part

__all__ = ["openmetrics"]

FAST: Final = 15
SLOW: Final = 60
RESOURCE: Final = "nvidia.com/gpu"
GPU_BYTES: Final = 80 * 2**30
STEP_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAIT_BUCKETS: Final = (1, 5, 15, 60, 300, 900, 3600, 14400)
LATENCIES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
OPERATOR: Final = (
    {"job": "regatta-operator", "instance": "10.0.0.5:8080"},
    {"job": "regatta-operator", "instance": "10.0.0.6:8080"},
)

Labels = dict[str, str]
Sample = tuple[str, Labels, float, int]


def openmetrics() -> Iterator[str]:
    """Lines of the whole text."""
    sources: Iterable[Iterator[Sample]] = (
        *(_runtime(job) for job in JOBS),
        *(_of_jobs(job) for job in JOBS),
        _aggregates(),
        _operator(),
    )
    for source in sources:
        for name, labels, value, at in source:
            written = ",".join(f'{key}="{text}"' for key, text in labels.items())
            yield f"{name}{{{written}}} {value:.10g} {at}\n"
    yield "# EOF\n"


def _sway(at: int, period: float, seed: float) -> float:
    """Between -1 and 1, smooth and the same every time: curves that are all straight hide what a panel does to them."""
    return 0.6 * math.sin(at / period + seed) + 0.4 * math.sin(at / (period * 0.37) + 2.3 * seed)


def _histogram(
    name: str, labels: Labels, counts: list[float], bounds: Iterable[float], total: float, at: int
) -> Iterator[Sample]:
    seen = 0.0
    for bound, count in zip((*bounds, math.inf), counts, strict=True):
        seen += count
        le = "+Inf" if math.isinf(bound) else f"{bound:g}"
        yield f"{name}_bucket", {**labels, "le": le}, seen, at
    yield f"{name}_sum", labels, total, at
    yield f"{name}_count", labels, seen, at


def _spread(counts: list[float], bounds: tuple[float, ...], *, mean: float, many: float, width: float = 0.18) -> None:
    """Add `many` values around `mean` to a histogram."""
    below = 0.0
    for index, bound in enumerate((*bounds, math.inf)):
        share = 1.0 if math.isinf(bound) else 1 / (1 + math.exp(-math.log(bound / mean) / width))
        counts[index] += many * (share - below)
        below = share


def _runtime(job: Job) -> Iterator[Sample]:
    """What the pods of a job tell. A new attempt has new pods, whose counters begin at zero."""
    for attempt in sorted({part.attempt for part in job.parts}):
        told = [(at, part) for at, part in job.during(FAST) if part.attempt == attempt and part.inside]
        for pod in range(job.pods):
            labels = {"namespace": job.namespace, "pod": f"{job.name}-{attempt}-{pod}", "trainingjob": job.name}
            for local in range(job.ranks):
                yield from _rank(job, told, labels=labels, rank=pod * job.ranks + local, local=local)
            if job.preprocessing:
                yield from _feed(job, told, labels=labels)
            yield from _container(job, told, labels=labels, pod=pod)


def _own(part: Part, *, rank: int, at: int) -> dict[str, float]:
    """The states of one rank: ranks wait for data unequally, and the others' steps take longer for it."""
    mix = dict(part.mix)
    if "data_wait" in mix and "step" in mix:
        more = mix["data_wait"] * (0.22 * _sway(at, 190, rank) + (0.5 if rank == 5 else 0.0))
        mix["data_wait"] += more
        mix["step"] -= more
    return mix


def _first_step(job: Job, attempt: int) -> float:
    """The step that an attempt begins at: the steps that were new before it, less those that it does again."""
    seconds = 0.0
    for _, part in job.during(FAST):
        if part.attempt < attempt:
            seconds += part.mix.get("step", 0.0) * FAST
        elif part.attempt == attempt:
            seconds -= part.mix.get("rework", 0.0) * FAST
    return max(0.0, seconds / job.step_seconds)


def _rank(job: Job, told: list[tuple[int, Part]], *, labels: Labels, rank: int, local: int) -> Iterator[Sample]:
    mine = {**labels, "rank": str(rank)}
    spent: dict[str, float] = {}
    steps = busy = energy = 0.0
    saved, saves, loads = 0, 0, 0
    global_step = _first_step(job, told[0][1].attempt) if told else 0.0
    durations = [0.0] * (len(STEP_BUCKETS) + 1)
    total = 0.0
    for at, part in told:
        mix = _own(part, rank=rank, at=at)
        for state, share in mix.items():
            spent[state] = spent.get(state, 0.0) + share * FAST
        trained = mix.get("step", 0.0) + mix.get("rework", 0.0)
        pace = job.step_seconds * (1 + 0.05 * _sway(at, 400, 1.0))
        # All ranks do the same steps: whose data come sooner waits for the others in the exchange of gradients.
        done = (part.mix.get("step", 0.0) + part.mix.get("rework", 0.0)) * FAST / pace
        steps += done
        global_step += done
        share = trained * (0.93 + 0.03 * _sway(at, 160, rank * 0.7))
        busy += share * FAST
        energy += (110 + 480 * share) * FAST
        for state, seconds in spent.items():
            yield "regatta_runtime_time_seconds_total", {**mine, "state": state}, seconds, at
        yield "regatta_runtime_steps_total", mine, steps, at
        yield "regatta_runtime_samples_total", mine, steps * job.batch, at
        if job.gpus:
            gpu = {**labels, "gpu": str(local)}
            yield "regatta_gpu_busy_seconds_total", gpu, busy, at
            yield "regatta_gpu_energy_joules_total", gpu, energy, at
            yield (
                "regatta_gpu_memory_used_bytes",
                gpu,
                GPU_BYTES * (0.05 if not trained else 0.78 + 0.01 * rank % 0.1),
                at,
            )
            yield "regatta_gpu_memory_size_bytes", gpu, GPU_BYTES, at
        if rank:
            continue
        if done:
            wait = mix.get("data_wait", 0.0) / (trained or 1.0)
            mean = pace * (1 + wait)
            _spread(durations, STEP_BUCKETS, mean=mean, many=done)
            total += mean * done
            saved = saved or at
        if "checkpoint_save" in mix:
            saved, saves = at, saves + 1
        loads += "checkpoint_restore" in mix
        yield "regatta_runtime_world_size", mine, job.pods * job.ranks, at
        yield "regatta_runtime_global_step", mine, global_step, at
        yield from _histogram("regatta_runtime_step_duration_seconds", mine, durations, STEP_BUCKETS, total, at)
        if saved:
            yield "regatta_runtime_checkpoint_last_success_timestamp_seconds", mine, saved, at
        for operation, many, seconds in (("save", saves / 4, 42.0), ("restore", loads / 3, 45.0)):
            if many:
                kind = {**mine, "operation": operation}
                yield "regatta_runtime_checkpoint_duration_seconds_sum", kind, many * seconds, at
                yield "regatta_runtime_checkpoint_duration_seconds_count", kind, many, at


def _feed(job: Job, told: list[tuple[int, Part]], *, labels: Labels) -> Iterator[Sample]:
    spent: dict[str, float] = {}
    for at, part in told:
        for state, share in part.feed.items():
            spent[state] = spent.get(state, 0.0) + share * FAST * 6
            yield "regatta_preprocess_time_seconds_total", {**labels, "state": state}, spent[state], at
        ready = 15 if part.feed["blocked"] > 0.1 else 1.2
        yield "regatta_preprocess_queue_batches", labels, max(0.0, ready + 1.2 * _sway(at, 60, 3)), at
        yield "regatta_preprocess_queue_capacity_batches", labels, 16, at


def _container(job: Job, told: list[tuple[int, Part]], *, labels: Labels, pod: int) -> Iterator[Sample]:
    """What a launcher reads of its cgroup, and kube-state-metrics of the container's spec."""
    spec = {"namespace": labels["namespace"], "pod": labels["pod"], "container": "trainer"}
    asked = {"cpu": 8.0 * job.ranks, "memory": 48.0 * 2**30 * job.ranks}
    used = 0.0
    for index, (at, part) in enumerate(told):
        grown = min(1.0, 0.35 + index * 0.01)
        # What killed it in the end.
        leak = 0.14 * index / len(told) if job.preprocessing and part.attempt == 1 and pod == 1 else 0.0
        used += asked["cpu"] * job.cpus * (0.9 + 0.1 * _sway(at, 300, pod)) * FAST
        yield "regatta_runtime_cpu_seconds_total", labels, used, at
        memory = asked["memory"] * (job.memory * grown + leak + 0.01 * _sway(at, 240, pod))
        yield "regatta_runtime_memory_working_set_bytes", labels, memory, at
        yield "regatta_runtime_memory_limit_bytes", labels, asked["memory"], at
        for resource, amount in asked.items():
            yield "kube_pod_container_resource_requests", {**spec, "resource": resource}, amount, at


def _of_jobs(job: Job) -> Iterator[Sample]:
    """What the operator tells of one job."""
    labels = {**OPERATOR[0], "namespace": job.namespace, "trainingjob": job.name}
    kind = {"framework": job.framework, "queue": "", "priority_class": ""}
    ledger: dict[str, float] = {}
    accelerators = job.pods * job.gpus
    for at, part in job.during(FAST):
        if at % SLOW == 0:
            yield "regatta_trainingjob_info", {**labels, **kind}, 1, at
            yield "regatta_trainingjob_phase", {**labels, "phase": part.phase}, 1, at
            yield "regatta_trainingjob_attempt", labels, part.attempt, at
            yield "regatta_trainingjob_pods_desired", labels, job.pods, at
            yield "regatta_trainingjob_pods_ready", labels, job.pods if part.phase == "Running" else 0, at
            for state, seconds in ledger.items():
                yield "regatta_trainingjob_time_seconds_total", {**labels, "state": state}, seconds, at
            if accelerators:
                yield "regatta_trainingjob_accelerators", {**labels, "resource": RESOURCE}, accelerators, at
                for state in sorted(ledger.keys() - {"queued", "restart_backoff"}):
                    held = {**labels, "state": state}
                    yield "regatta_trainingjob_accelerator_seconds_total", held, ledger[state] * accelerators, at
            if part.attempt > 1:
                counted = {**labels, "cause": job.cause}
                yield "regatta_trainingjob_failures_total", counted, part.attempt - 1, at
        for state, share in part.mix.items():
            ledger[state] = ledger.get(state, 0.0) + share * FAST


def _aggregates() -> Iterator[Sample]:
    """What the operator tells of all jobs together."""
    queues = {namespace: [0.0] * (len(WAIT_BUCKETS) + 1) for namespace in ("vision", "language", "speech")}
    present = [dict(job.during(SLOW)) for job in JOBS]
    restarts: dict[tuple[str, str, str], float] = {}
    finished: dict[tuple[str, str, str], float] = {}
    for at in range(START, END + 1, SLOW):
        jobs: dict[tuple[str, str, str], int] = {}
        asked: dict[str, float] = {}
        held: dict[str, float] = {}
        for job, life in zip(JOBS, present, strict=True):
            part = life.get(at)
            phase = part.phase if part is not None else "Succeeded" if job.name != "tune" else "Failed"
            key = (job.namespace, job.framework, phase)
            jobs[key] = jobs.get(key, 0) + 1
            if part is not None:
                many = job.pods * job.gpus
                asked[job.namespace] = asked.get(job.namespace, 0.0) + many
                held[job.namespace] = held.get(job.namespace, 0.0) + (many if phase in ("Running", "Starting") else 0)
                before = life.get(at - SLOW)
                if before is not None and before.attempt < part.attempt:
                    counted = (job.namespace, job.framework, job.cause)
                    restarts[counted] = restarts.get(counted, 0.0) + 1
            elif at - SLOW in life:
                counted = (job.namespace, job.framework, "failed" if job.name == "tune" else "succeeded")
                finished[counted] = finished.get(counted, 0.0) + 1
        for replica in OPERATOR:
            for (namespace, framework, phase), many in jobs.items():
                yield (
                    "regatta_trainingjobs",
                    {**replica, "namespace": namespace, "framework": framework, "phase": phase},
                    many,
                    at,
                )
            for name, amounts in (("requested", asked), ("allocated", held)):
                for namespace, many in amounts.items():
                    kind = {**replica, "namespace": namespace, "resource": RESOURCE}
                    yield f"regatta_accelerators_{name}", kind, many, at
            yield "regatta_resource_hourly_price", {**replica, "resource": RESOURCE, "currency": "USD"}, 2.5, at
        for job in JOBS:
            for cause in ("oom_killed", "node_lost", "user_error"):
                counted = (job.namespace, job.framework, cause)
                labels = {**OPERATOR[0], "namespace": job.namespace, "framework": job.framework, "cause": cause}
                if cause == job.cause:
                    yield "regatta_trainingjob_restarts_total", labels, restarts.get(counted, 0.0), at
            for outcome in ("succeeded", "failed"):
                counted = (job.namespace, job.framework, outcome)
                labels = {**OPERATOR[0], "namespace": job.namespace, "framework": job.framework, "outcome": outcome}
                yield "regatta_trainingjobs_finished_total", labels, 40 + finished.get(counted, 0.0), at
        yield from _waits(at, queues)


def _waits(at: int, queues: dict[str, list[float]]) -> Iterator[Sample]:
    """Histograms of what jobs went through before they trained, and after they failed."""
    hours = (at - START) / 3600
    for namespace, mean in (("vision", 90.0), ("language", 900.0), ("speech", 400.0)):
        labels = {**OPERATOR[0], "namespace": namespace}
        counts, now = queues[namespace], mean * math.exp(0.9 * _sway(at, 1700, mean))
        _spread(counts, WAIT_BUCKETS, mean=now, many=12 / 60, width=0.5)
        yield from _histogram(
            "regatta_trainingjob_queue_wait_seconds", labels, counts, WAIT_BUCKETS, mean * 12 * hours, at
        )
        for stage, seconds in (
            ("scheduling", 6.0),
            ("image_pull", 41.0),
            ("init", 38.0),
            ("rendezvous", 5.0),
            ("first_step", 24.0),
        ):
            kind = {**labels, "stage": stage}
            yield "regatta_trainingjob_startup_seconds_sum", kind, 10 * hours * seconds, at
            yield "regatta_trainingjob_startup_seconds_count", kind, 10 * hours, at
        for cause, seconds in (("oom_killed", 160.0), ("node_lost", 420.0), ("user_error", 95.0)):
            kind = {**labels, "cause": cause}
            yield "regatta_trainingjob_recovery_seconds_sum", kind, 2 * hours * seconds, at
            yield "regatta_trainingjob_recovery_seconds_count", kind, 2 * hours, at


def _operator() -> Iterator[Sample]:
    """The operator's own health: two replicas, and half an hour in which the API server is slow."""
    for index, replica in enumerate(OPERATOR):
        totals: dict[str, float] = {}
        queues = [0.0] * (len(LATENCIES) + 1)
        loops = [0.0] * (len(LATENCIES) + 1)
        reconciles = {result: [0.0] * (len(LATENCIES) + 1) for result in ("ok", "gone", "conflict", "error")}
        calls = {verb: [0.0] * (len(LATENCIES) + 1) for verb in ("get", "list", "create", "patch", "delete", "watch")}
        for at in range(START, END + 1, FAST):
            slow = 5.0 if 5400 < at - START < 7200 else 1.0
            works = 1.0 if index == 0 else 0.0
            pace = works * (14 + 6 * _sway(at, 500, 1.0))
            _spread(queues, LATENCIES, mean=0.002 * slow, many=pace * FAST, width=0.6)
            _spread(loops, LATENCIES, mean=0.0015, many=FAST, width=0.4)
            for result, share in (("ok", 0.985), ("gone", 0.008), ("conflict", 0.0065), ("error", 0.0005)):
                _spread(reconciles[result], LATENCIES, mean=0.006 * slow, many=pace * share * FAST, width=0.5)
            for verb, share in (
                ("get", 0.2),
                ("list", 0.02),
                ("create", 0.9),
                ("patch", 1.4),
                ("delete", 0.6),
                ("watch", 0.03),
            ):
                _spread(calls[verb], LATENCIES, mean=0.008 * slow, many=(0.2 + pace) * share * FAST, width=0.45)
            for key, rate in (
                ("errors", 0.0005 * pace),
                ("5xx", 0.02 * (slow - 1) * works),
                ("ended", 0.02),
                ("expired", 0.0008 * slow),
            ):
                totals[key] = totals.get(key, 0.0) + rate * FAST
            yield "regatta_build_info", {**replica, "version": "0.1.0", "revision": ""}, 1, at
            yield "regatta_leader", replica, works, at
            yield "regatta_workqueue_depth", replica, max(0.0, works * (slow + 2 * _sway(at, 90, 2))), at
            yield from _histogram("regatta_workqueue_wait_seconds", replica, queues, LATENCIES, sum(queues) * 0.003, at)
            yield from _histogram("regatta_event_loop_lag_seconds", replica, loops, LATENCIES, sum(loops) * 0.002, at)
            for result, counts in reconciles.items():
                kind = {**replica, "result": result}
                yield from _histogram(
                    "regatta_reconcile_duration_seconds", kind, counts, LATENCIES, sum(counts) * 0.006, at
                )
            for verb, counts in calls.items():
                kind = {**replica, "verb": verb, "resource": "pods", "code": "200"}
                yield from _histogram(
                    "regatta_api_request_duration_seconds", kind, counts, LATENCIES, sum(counts) * 0.008, at
                )
            failed = {**replica, "verb": "patch", "resource": "trainingjobs", "code": "503"}
            yield "regatta_api_request_duration_seconds_count", failed, totals["5xx"], at
            yield "regatta_reconcile_errors_total", {**replica, "reason": "ServerError"}, totals["errors"], at
            for resource in ("pods", "trainingjobs"):
                for reason in ("ended", "expired"):
                    kind = {**replica, "resource": resource, "reason": reason}
                    yield "regatta_watch_restarts_total", kind, totals[reason], at
            for resource, many in (("pods", 40 + 8 * _sway(at, 2000, 1)), ("trainingjobs", 7)):
                yield "regatta_cache_objects", {**replica, "resource": resource}, round(many), at
            yield "process_resident_memory_bytes", replica, (92 + 4 * _sway(at, 3000, index)) * 2**20, at
