"""Job: where one job's seconds went, how fast it trains, what it waits for, and what it uses of what it asked for."""

from typing import Any, Final

from charts.dashboards.panels import Query, Variable, bars, board, lines, number, query, row, stacked, word
from charts.dashboards.queries import CLUSTER, FEED, PHASES, STATES, last, of_job, pods_of_job, quantile

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
TIME: Final = "regatta_runtime_time_seconds_total"
RANK_0: Final = 'rank="0"'
WAITS: Final = 'state="data_wait"'
STEPS: Final = 'state=~"step|rework"'
WITH_WAITS: Final = 'state=~"step|rework|data_wait"'
GOOD: Final = ((None, "red"), (0.5, "orange"), (0.8, "green"))
RATE: Final = "$__rate_interval"


def _rate(metric: str, *matchers: str) -> str:
    return f"rate({of_job(metric, *matchers)}[{RATE}])"


def _spent(function: str, window: str) -> str:
    """Seconds of the job by state: while a program runs as rank 0 tells, before and after it as the operator does."""
    told = f"sum by (state) ({function}({of_job(TIME, RANK_0)}[{window}]))"
    held = f"sum by (state) ({function}({of_job('regatta_trainingjob_accelerator_seconds_total')}[{window}]))"
    many = f"scalar(sum({last(of_job('regatta_trainingjob_accelerators'), 'resource')}))"
    other = f'label_replace({held} / {many}, "teller", "operator", "", "")'
    return f"sum by (state) ({told} or {other})"


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
    spent = _spent("increase", "$__range")
    goodput = f'sum({spent} and on (state) label_replace(vector(1), "state", "step", "", "")) / sum({spent})'
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
    return [
        row("The ledger: where every second went"),
        stacked(
            "Time by state",
            "What the job did at each moment. While the program runs, that is rank 0's time, and the states add up "
            "to 1; before and after it, what the operator sees of the pods.",
            # What trains lies at the bottom, where its course can be read.
            [
                query(f"{_spent('rate', RATE)} and on (state) {_named('step')}", "{{state}}", slow=True),
                query(f"{_spent('rate', RATE)} unless on (state) {_named('step')}", "{{state}}", slow=True),
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
            query(f"sort_desc({_spent('increase', '$__range')} > 0)", "{{state}}", instant=True, slow=True),
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
    asked = 'container="trainer"'
    memory = pods_of_job(_working_set(asked))
    return [
        row("CPU and memory, against what was asked for"),
        lines(
            "CPUs in use",
            "CPUs that the training containers use, and what they ask for. Far below: ask for less, and others can "
            "start. Needs the metrics of kubelets and kube-state-metrics.",
            [
                query(f"sum({pods_of_job(_cpu(asked))})", "used"),
                query(f"sum({pods_of_job(_requested('cpu', asked))})", "asked for"),
            ],
            unit="short",
            width=8,
            colours={"used": "blue"},
            dashed=("asked for",),
        ),
        lines(
            "Memory in use",
            "Memory of the training containers that cannot be given back, and what they ask for. "
            "Needs the metrics of kubelets and kube-state-metrics.",
            [
                query(f"sum({memory})", "used"),
                query(f"sum({pods_of_job(_requested('memory', asked))})", "asked for"),
            ],
            unit="bytes",
            width=8,
            colours={"used": "purple"},
            dashed=("asked for",),
        ),
        lines(
            "Memory of the fullest pod",
            "Share of its request that the fullest training container uses: at 1 and above it is among the first to be "
            "evicted.",
            [query(f"max(({memory}) / ({pods_of_job(_requested('memory', asked))}))", "fullest")],
            unit="percentunit",
            width=8,
            colours={"fullest": "purple"},
        ),
    ]


def _safety() -> list[Any]:
    duration = "regatta_runtime_checkpoint_duration_seconds"
    saved = of_job("regatta_runtime_checkpoint_last_success_timestamp_seconds")
    return [
        row("Checkpoints and restarts"),
        lines(
            "Age of the last checkpoint",
            "What a failure at that moment would have cost.",
            [query(f"time() - max({saved})", "age")],
            unit="s",
            width=6,
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
            width=6,
            colours={"save": "blue", "restore": "light-blue"},
        ),
        lines(
            "Attempts, and workers that train",
            "The attempt's number rises with each restart by new pods; workers that have joined fall when one is lost.",
            [
                query(f"max({of_job('regatta_trainingjob_attempt')})", "attempt"),
                query(f"max({of_job('regatta_trainingjob_pods_ready')})", "workers"),
                query(f"max({of_job('regatta_trainingjob_pods_desired')})", "workers asked for"),
            ],
            unit="none",
            width=6,
            calcs=(),
            colours={"attempt": "red", "workers": "green"},
            dashed=("workers asked for",),
        ),
        _lost(),
    ]


def _lost() -> Any:
    return bars(
        "Lost to restarts",
        "Seconds of the time range that failures cost: waiting for the next attempt, loading the checkpoint, and doing "
        "steps again.",
        Query(
            expr=f"sort_desc({_spent('increase', '$__range')} and on (state) "
            f"({_named('restart_backoff')} or {_named('checkpoint_restore')} or {_named('rework')}))",
            legend="{{state}}",
            instant=True,
            step="1m",
        ),
        unit="s",
        width=6,
        colours=STATES,
    )


def _named(state: str) -> str:
    return f'label_replace(vector(1), "state", "{state}", "", "")'


def _cpu(asked: str) -> str:
    series = f'container_cpu_usage_seconds_total{{cluster=~"$cluster", namespace="$namespace", {asked}}}'
    return f"sum by (cluster, namespace, pod) (rate({series}[{RATE}]))"


def _working_set(asked: str) -> str:
    series = f'container_memory_working_set_bytes{{cluster=~"$cluster", namespace="$namespace", {asked}}}'
    return f"max by (cluster, namespace, pod) ({series})"


def _requested(resource: str, asked: str) -> str:
    matchers = f'cluster=~"$cluster", namespace="$namespace", {asked}, resource="{resource}"'
    return f"max by (cluster, namespace, pod) (kube_pod_container_resource_requests{{{matchers}}})"
