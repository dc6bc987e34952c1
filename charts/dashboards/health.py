"""Operator: whether Regatta itself is well, and what slows it where it is not."""

from typing import Any

from charts.dashboards.panels import board, lines, number, query, row, stacked
from charts.dashboards.queries import CLUSTER, of_operator, quantile

__all__ = ["health"]


def _rate(metric: str, *matchers: str) -> str:
    return f"rate({of_operator(metric, *matchers)}[$__rate_interval])"


def _of_process(expr: str) -> str:
    """Metrics that any process has, of the operator's alone."""
    return f"{expr} and on (cluster, job, instance) {of_operator('regatta_build_info')}"


def health() -> Any:
    """The dashboard of the operator."""
    reconciles = "regatta_reconcile_duration_seconds"
    requests = "regatta_api_request_duration_seconds"
    in_vain = 'code=~"5..|429|0"'
    failed = f"sum({_rate(f'{requests}_count', in_vain)})"
    panels = [
        number(
            "Leaders",
            "One replica leads. None: nothing is done. Two: one of them has not noticed that it lost the lease.",
            query(f"sum({of_operator('regatta_leader')})"),
            unit="none",
            decimals=0,
            steps=((None, "red"), (1, "green"), (2, "red")),
        ),
        number(
            "Replicas",
            "Replicas that answer Prometheus.",
            query(f"count({of_operator('regatta_build_info')})"),
            unit="none",
            decimals=0,
        ),
        number(
            "Reconciles that succeed",
            "Share of reconciles without an error, over the time range. The objective is 99.9 %.",
            query(
                f"1 - (sum(increase({of_operator('regatta_reconcile_errors_total')}[$__range])) or vector(0))"
                f" / sum(increase({of_operator(f'{reconciles}_count')}[$__range]))",
                instant=True,
            ),
            unit="percentunit",
            decimals=3,
            steps=((None, "red"), (0.999, "green")),
        ),
        number(
            "Reconcile, 99 of 100",
            "99 of 100 reconciles take less.",
            query(quantile(0.99, of_operator(f"{reconciles}_bucket"))),
            unit="s",
        ),
        number(
            "Keys that wait",
            "Jobs in the queue of the leader now.",
            query(f"sum({of_operator('regatta_workqueue_depth')})"),
            unit="short",
            decimals=0,
        ),
        number(
            "API errors",
            "Requests to the API server that failed (5xx, 429, no answer), per second.",
            query(f"{failed} or vector(0)"),
            unit="reqps",
            decimals=2,
            steps=((None, "green"), (0.1, "orange"), (1, "red")),
        ),
        row("Reconciling"),
        stacked(
            "Reconciles",
            "Reconciles per second, by result.",
            [query(f"sum by (result) ({_rate(f'{reconciles}_count')})", "{{result}}")],
            unit="ops",
            width=8,
            calcs=("mean",),
            colours={
                "ok": "green",
                "gone": "#8e8e8e",
                "found": "blue",
                "conflict": "orange",
                "error": "red",
                "other": "purple",
            },
        ),
        lines(
            "Time of a reconcile",
            "Half, and 99 of 100, take less.",
            [
                query(quantile(0.5, of_operator(f"{reconciles}_bucket")), "half"),
                query(quantile(0.99, of_operator(f"{reconciles}_bucket")), "99 of 100"),
            ],
            unit="s",
            width=8,
            calcs=("mean",),
            colours={"half": "blue", "99 of 100": "orange"},
        ),
        lines(
            "Wait in the queue",
            "Time from a change of a job until a worker takes it up. It grows when there is more to do than workers "
            "can.",
            [
                query(quantile(0.5, of_operator("regatta_workqueue_wait_seconds_bucket")), "half"),
                query(quantile(0.99, of_operator("regatta_workqueue_wait_seconds_bucket")), "99 of 100"),
            ],
            unit="s",
            width=8,
            calcs=("mean",),
            colours={"half": "blue", "99 of 100": "orange"},
        ),
        row("The API server"),
        stacked(
            "Requests",
            "Requests to the API server per second, by verb.",
            [query(f"sum by (verb) ({_rate(f'{requests}_count')})", "{{verb}}")],
            unit="reqps",
            width=8,
            calcs=("mean",),
        ),
        lines(
            "Time of a request, 99 of 100",
            "By verb, watches left out. It is the API server's time and the network's, not the operator's.",
            [query(quantile(0.99, of_operator(f"{requests}_bucket", 'verb!="watch"'), "verb"), "{{verb}}")],
            unit="s",
            width=8,
            calcs=("mean",),
        ),
        lines(
            "Watches taken up again",
            "Per second, by reason. `ended` is normal, every few minutes; others mean an API server in trouble.",
            [query(f"sum by (resource, reason) ({_rate('regatta_watch_restarts_total')})", "{{resource}} {{reason}}")],
            unit="ops",
            width=8,
            calcs=("mean",),
        ),
        row("The process"),
        lines(
            "Objects known",
            "Objects in the caches, by kind, in the replica that knows most.",
            [query(f"max by (resource) ({of_operator('regatta_cache_objects')})", "{{resource}}")],
            unit="short",
            width=8,
            calcs=("lastNotNull",),
        ),
        lines(
            "Lateness of the event loop, 99 of 100",
            "How late the operator's event loop does what is due. Above a tenth of a second something blocks it.",
            [query(quantile(0.99, of_operator("regatta_event_loop_lag_seconds_bucket"), "instance"), "{{instance}}")],
            unit="s",
            width=8,
            calcs=("mean",),
        ),
        lines(
            "Memory",
            "Resident memory of each replica.",
            [query(_of_process(of_operator("process_resident_memory_bytes")), "{{instance}}")],
            unit="bytes",
            width=8,
            calcs=("lastNotNull",),
        ),
    ]
    return board(
        uid="regatta-operator",
        title="Regatta / Operator",
        description="Whether the operator is well: who leads, how fast it reconciles, how the API server answers it.",
        variables=[CLUSTER],
        panels=panels,
        since="now-3h",
        refresh="30s",
    )
