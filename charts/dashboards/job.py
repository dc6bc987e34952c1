"""Job: where one job's seconds went, how fast it trains, what it waits for, and what it uses of what it asked for."""

from typing import Any, Final

from charts.dashboards.panels import Variable, bars, board, lines, number, query, row, stacked, word
from charts.dashboards.queries import (
    CAUSES,
    CLUSTER,
    FEED,
    LEDGER,
    PHASES,
    STATES,
    grown,
    last,
    of_job,
    pods_of_job,
    quantile,
)

__all__ = ["job"]

NAMESPACE: Final = Variable(
    name="namespace",
    title="Namespace",
    values='label_values(regatta_trainingjob_info{cluster=~"$cluster"}, namespace)',
)
NAME: Final = Variable(
    name="trainingjob",
    title="Job",
    values='label_values(regatta_trainingjob_info{cluster=~"$cluster", namespace="$namespace"}, trainingjob)',
)
HELD: Final = 'state!="queued"'
TIME: Final = "regatta_runtime_time_seconds_total"
RANK_0: Final = 'rank="0"'
WAITS: Final = 'state="data_wait"'
STEPS: Final = 'state=~"step|rework"'
WITH_WAITS: Final = 'state=~"step|rework|data_wait"'
GOOD: Final = ((None, "red"), (0.5, "orange"), (0.8, "green"))
RATE: Final = "$__rate_interval"


def _rate(metric: str, *matchers: str) -> str:
    return f"rate({of_job(metric, *matchers)}[{RATE}])"


def _pace(*matchers: str) -> str:
    """The job's ledger by state, as seconds per second; a new leader goes on with the old one's numbers."""
    return last(f"rate({of_job(LEDGER, *matchers)}[{RATE}])", "state")


def _spent(*matchers: str) -> str:
    """Seconds of the time range by state."""
    return grown(of_job(LEDGER, *matchers), "state")


def _share_of(part: str, window: str, *, function: str = "increase") -> str:
    time = of_job(TIME)
    some = of_job(TIME, f'state="{part}"')
    return f"sum({function}({some}[{window}])) / sum({function}({time}[{window}]))"


def job() -> Any:
    """The dashboard of one job."""
    return board(
        uid="regatta-job",
        title="Regatta / Job",
        description="Where one job's seconds went, how fast it trains, and what it waits for.",
        variables=[CLUSTER, NAMESPACE, NAME],
        panels=[*_head(), *_ledger(), *_speed(), *_data(), *_ranks(), *_devices(), *_memory(), *_safety()],
        since="now-3h",
        refresh="30s",
    )


def _head() -> list[Any]:
    stepped = 'state="step"'
    goodput = f"sum({_spent(stepped)}) / sum({_spent(HELD)})"
    return [
        word(
            "Phase",
            "The job's phase, as in its status.",
            query(last(of_job("regatta_trainingjob_phase"), "phase"), "{{phase}}", instant=True),
            width=3,
            colours=PHASES,
        ),
        number(
            "Goodput",
            "Share of the time range in which new steps were done, of all in which the job held something.",
            query(goodput, instant=True, slow=True),
            unit="percentunit",
            decimals=1,
            width=3,
            steps=GOOD,
        ),
        number(
            "Waits for data",
            "Share of the processes' time in which they waited for their next batch.",
            query(_share_of("data_wait", RATE)),
            unit="percentunit",
            decimals=1,
            width=3,
            steps=((None, "green"), (0.05, "orange"), (0.2, "red")),
        ),
        number(
            "Samples per second",
            "Of all processes together.",
            query(f"sum({_rate('regatta_runtime_samples_total')})"),
            unit="short",
            width=3,
            decimals=1,
        ),
        number(
            "Time of a step",
            "Mean, with its wait for data.",
            query(f"sum({_rate(TIME, RANK_0, WITH_WAITS)}) / sum({_rate('regatta_runtime_steps_total', RANK_0)})"),
            unit="s",
            width=3,
        ),
        number(
            "Processes",
            "Training processes of the group, as rank 0 sees it.",
            query(f"max({of_job('regatta_runtime_world_size')})"),
            unit="short",
            width=3,
            decimals=0,
        ),
        number(
            "Attempt",
            "Number of the present attempt: each new one means new pods.",
            query(f"max({of_job('regatta_trainingjob_attempt')})"),
            unit="none",
            width=3,
            decimals=0,
            steps=((None, "text"), (2, "orange")),
        ),
        number(
            "Last checkpoint",
            "Age of the last checkpoint that was saved: what a failure now would cost.",
            query(f"time() - max({of_job('regatta_runtime_checkpoint_last_success_timestamp_seconds')})"),
            unit="s",
            width=3,
        ),
    ]


def _ledger() -> list[Any]:
    trained, others = (_pace(matcher) for matcher in ('state="step"', 'state!="step"'))
    return [
        row("The ledger: where every second went"),
        stacked(
            "Time by state",
            "What the job did at each moment, in states that exclude one another. It is the ledger of the job's "
            "status, written about once a minute.",
            # What trains lies at the bottom, where its course can be read.
            [
                query(f"{part} / on () group_left () sum({_pace()})", "{{state}}", slow=True)
                for part in (trained, others)
            ],
            unit="percentunit",
            width=16,
            height=12,
            high=1,
            colours=STATES,
            calcs=("mean",),
        ),
        bars(
            "In the whole time range",
            "The seconds that the job spent in each state, added up over the time range.",
            query(f"sort_desc({_spent()} > 0)", "{{state}}", instant=True, slow=True),
            unit="s",
            width=8,
            height=12,
            colours=STATES,
        ),
    ]


def _speed() -> list[Any]:
    bucket = of_job("regatta_runtime_step_duration_seconds_bucket")
    return [
        row("Speed"),
        lines(
            "Throughput",
            "Samples per second of all processes together.",
            [query(f"sum({_rate('regatta_runtime_samples_total')})", "all processes")],
            unit="short",
            width=8,
            colours={"all processes": "green"},
        ),
        lines(
            "Lengths of steps",
            "Half of the steps are shorter than the first curve, 99 of 100 shorter than the second. "
            "Steps of very different lengths hint at data or at a neighbour on the node.",
            [
                query(quantile(0.5, bucket), "half"),
                query(quantile(0.99, bucket), "99 of 100"),
            ],
            unit="s",
            width=8,
            colours={"half": "blue", "99 of 100": "orange"},
        ),
        lines(
            "Steps done",
            "Number of the last step. It falls back where a restart began at an older checkpoint: those steps are done "
            "again (rework).",
            [query(f"max({of_job('regatta_runtime_global_step')})", "step")],
            unit="short",
            width=8,
            calcs=("lastNotNull",),
        ),
    ]


def _data() -> list[Any]:
    feed = "regatta_preprocess_time_seconds_total"
    return [
        row("Data: does training wait for it, and why"),
        lines(
            "Training waits for data",
            "Share of time in which training processes waited for a batch: the mean of all, and the one that waited "
            "longest.",
            [
                query(_share_of("data_wait", RATE, function="rate"), "mean"),
                query(
                    f"max(sum by (rank) ({_rate(TIME, WAITS)}) / sum by (rank) ({_rate(TIME)}))",
                    "longest",
                ),
            ],
            unit="percentunit",
            width=8,
            high=1,
            colours={"mean": "orange", "longest": "red"},
        ),
        stacked(
            "What the feed does meanwhile",
            "Time of the preprocessing sidecar's workers. Training waits and the feed is busy: give it more CPU. "
            "Training waits and the feed is starved: the storage is too slow. Blocked: the feed is ahead and has "
            "nothing to do. Empty for jobs without preprocessing.",
            [query(f"sum by (state) ({_rate(feed)}) / ignoring (state) group_left () sum({_rate(feed)})", "{{state}}")],
            unit="percentunit",
            width=8,
            high=1,
            colours=FEED,
        ),
        lines(
            "Batches ready in the feed",
            "Batches that wait for a training process, and the room for them. Near zero means that training will wait.",
            [
                query(f"sum({of_job('regatta_preprocess_queue_batches')})", "ready"),
                query(f"sum({of_job('regatta_preprocess_queue_capacity_batches')})", "room"),
            ],
            unit="short",
            width=8,
            colours={"ready": "green"},
            dashed=("room",),
        ),
    ]


def _ranks() -> list[Any]:
    waiting = f"sum by (rank) ({_rate(TIME, WAITS)}) / sum by (rank) ({_rate(TIME)})"
    own = f"(sum by (rank) ({_rate(TIME, STEPS)}) / (sum by (rank) ({_rate('regatta_runtime_steps_total')}) > 0))"
    return [
        row("Ranks: whom the others wait for"),
        lines(
            "Waits for data, the ten ranks that wait longest",
            "Share of its time in which each rank waited for a batch. Where gradients are exchanged in every step, all "
            "wait for the rank whose data comes last.",
            [query(f"topk(10, {waiting})", "rank {{rank}}")],
            unit="percentunit",
            width=10,
            calcs=("mean",),
        ),
        lines(
            "Step without its wait for data",
            "Where gradients are exchanged in every step, the wait for others is part of the step: the rank with the "
            "shortest is the one that the others wait for. Without an exchange, the longest is the slowest rank.",
            [
                query(f"max({own})", "longest"),
                query(f"avg({own})", "mean"),
                query(f"min({own})", "shortest"),
            ],
            unit="s",
            width=8,
            low=None,
            colours={"longest": "orange", "mean": "green", "shortest": "blue"},
            calcs=("mean",),
        ),
        bars(
            "Who waits for data",
            "Share of the time range in which each rank waited for its next batch: the ten that waited longest.",
            query(
                f"sort_desc(topk(10, sum by (rank) (increase({of_job(TIME, WAITS)}[$__range]))"
                f" / sum by (rank) (increase({of_job(TIME)}[$__range]))))",
                "rank {{rank}}",
                instant=True,
            ),
            unit="percentunit",
            width=6,
            decimals=1,
        ),
    ]


def _devices() -> list[Any]:
    """Panels of accelerators; empty, and said to be so, where no GPU is read."""
    by_gpu = "pod, gpu"
    samples = f"(sum({_rate('regatta_runtime_samples_total')}) > 0)"
    return [
        row("GPUs (empty for jobs without)"),
        lines(
            "Busy",
            "Share of time in which a kernel ran on the GPU.",
            [query(f"avg by ({by_gpu}) ({_rate('regatta_gpu_busy_seconds_total')})", "{{pod}} {{gpu}}")],
            unit="percentunit",
            width=8,
            high=1,
            legend=False,
        ),
        lines(
            "GPU memory in use",
            "Of the memory of each GPU.",
            [
                query(
                    f"max by ({by_gpu}) ({of_job('regatta_gpu_memory_used_bytes')})"
                    f" / max by ({by_gpu}) ({of_job('regatta_gpu_memory_size_bytes')})",
                    "{{pod}} {{gpu}}",
                )
            ],
            unit="percentunit",
            width=8,
            high=1,
            legend=False,
        ),
        lines(
            "Energy of a sample",
            "Energy that the GPUs took, divided by the samples that were trained with it.",
            [query(f"sum({_rate('regatta_gpu_energy_joules_total')}) / {samples}", "all GPUs")],
            unit="joule",
            width=8,
            colours={"all GPUs": "green"},
        ),
    ]


def _memory() -> list[Any]:
    used, limit = of_job("regatta_runtime_memory_working_set_bytes"), of_job("regatta_runtime_memory_limit_bytes")
    return [
        row("CPU and memory, against what was asked for"),
        lines(
            "CPUs in use",
            "CPUs that the workers' training containers use, and what they ask for. Far below: ask for less, and "
            "others can start. What was asked for comes from kube-state-metrics, where that is scraped.",
            [
                query(f"sum({_rate('regatta_runtime_cpu_seconds_total')})", "used"),
                query(f"sum({_requested('cpu')})", "asked for"),
            ],
            unit="short",
            width=8,
            colours={"used": "blue"},
            dashed=("asked for",),
        ),
        lines(
            "Memory in use",
            "Memory of the workers' training containers that cannot be given back, and what they ask for. What was "
            "asked for comes from kube-state-metrics, where that is scraped.",
            [
                query(f"sum({used})", "used"),
                query(f"sum({_requested('memory')})", "asked for"),
            ],
            unit="bytes",
            width=8,
            colours={"used": "purple"},
            dashed=("asked for",),
        ),
        lines(
            "The fullest worker",
            "Share of its memory limit that the fullest training container uses: at 1 the kernel kills it. Empty where "
            "there is no limit.",
            [query(f"max(max by (pod) ({used}) / max by (pod) ({limit}))", "fullest")],
            unit="percentunit",
            width=8,
            colours={"fullest": "purple"},
        ),
    ]


def _safety() -> list[Any]:
    duration = "regatta_runtime_checkpoint_duration_seconds"
    saved = of_job("regatta_runtime_checkpoint_last_success_timestamp_seconds")
    lost = _spent('state=~"restart_backoff|checkpoint_restore|rework"')
    return [
        row("Checkpoints and restarts"),
        lines(
            "Attempts, and workers that train",
            "The attempt's number rises with each restart by new pods; workers that have joined fall when one is lost.",
            [
                query(f"max({of_job('regatta_trainingjob_attempt')})", "attempt"),
                query(f"max({of_job('regatta_trainingjob_pods_ready')})", "workers"),
                query(f"max({of_job('regatta_trainingjob_pods_desired')})", "workers asked for"),
            ],
            unit="none",
            width=7,
            calcs=(),
            colours={"attempt": "red", "workers": "green"},
            dashed=("workers asked for",),
        ),
        bars(
            "Failures by cause",
            "Failures since the job began, as the status counts them: those met in place and those of whole attempts.",
            query(f"{last(of_job('regatta_trainingjob_failures_total'), 'cause')} > 0", "{{cause}}", instant=True),
            unit="short",
            width=4,
            colours=CAUSES,
            decimals=0,
        ),
        bars(
            "Lost to restarts",
            "Time that failures cost in the time range: waiting for the next attempt, loading the checkpoint, and "
            "doing steps again.",
            query(f"sort_desc({lost} > 0)", "{{state}}", instant=True, slow=True),
            unit="s",
            width=5,
            colours=STATES,
        ),
        lines(
            "Age of the last checkpoint",
            "What a failure at that moment would have cost.",
            [query(f"time() - max({saved})", "age")],
            unit="s",
            width=4,
            calcs=(),
            colours={"age": "blue"},
        ),
        bars(
            "Time of one checkpoint",
            "Mean time of saving and of loading one, over the time range.",
            query(
                f"sum by (operation) (increase({of_job(f'{duration}_sum')}[$__range]))"
                f" / (sum by (operation) (increase({of_job(f'{duration}_count')}[$__range])) > 0)",
                "{{operation}}",
                instant=True,
            ),
            unit="s",
            width=4,
            colours={"save": "blue", "restore": "light-blue"},
        ),
    ]


def _requested(resource: str) -> str:
    matchers = 'cluster=~"$cluster", namespace="$namespace", container="trainer"'
    asked = f'kube_pod_container_resource_requests{{{matchers}, resource="{resource}"}}'
    return pods_of_job(f"max by (cluster, namespace, pod) ({asked})")
