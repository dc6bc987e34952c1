"""What the queries of all dashboards share: which series are meant, how they are joined, and the ledger's colours."""

from typing import Final

from charts.dashboards.panels import Variable

__all__ = [
    "CAUSES",
    "CLUSTER",
    "FEED",
    "JOB",
    "LEDGER",
    "PHASES",
    "STATES",
    "chosen",
    "grown",
    "last",
    "of_job",
    "of_operator",
    "pods_of_job",
    "quantile",
]

LEDGER: Final = "regatta_trainingjob_time_seconds_total"
JOB: Final = "cluster, namespace, trainingjob"

STATES: Final = {
    "step": "green",
    "rework": "red",
    "data_wait": "orange",
    "checkpoint_save": "blue",
    "checkpoint_restore": "light-blue",
    "eval": "super-light-green",
    "compile": "purple",
    "rendezvous": "light-purple",
    "init": "super-light-purple",
    "image_pull": "light-yellow",
    "gang_wait": "dark-yellow",
    "restart_backoff": "dark-red",
    "terminating": "semi-dark-orange",
    "idle": "#8e8e8e",
    "unmeasured": "#b0b0b0",
    "queued": "#5f6672",
}
"""The states of the ledger: what trains is green, what waits for data orange, what was lost to failures red."""

PHASES: Final = {
    "Running": "green",
    "Starting": "yellow",
    "Restarting": "orange",
    "Queued": "blue",
    "Suspended": "#5f6672",
    "Succeeded": "light-green",
    "Failed": "red",
}

FEED: Final = {"busy": "green", "starved": "orange", "blocked": "blue"}

CAUSES: Final = {
    "oom_killed": "red",
    "user_error": "orange",
    "hung": "dark-red",
    "collective_timeout": "purple",
    "gpu_error": "dark-purple",
    "node_lost": "blue",
    "preempted": "light-blue",
    "evicted": "dark-blue",
    "image_error": "yellow",
    "other": "#8e8e8e",
}

CLUSTER: Final = Variable(
    name="cluster", title="Cluster", values="label_values(regatta_trainingjobs, cluster)", several=True
)
"""Where many clusters write into one store; where there is one, `All` means it."""


def chosen(metric: str, *matchers: str) -> str:
    """The metric in the chosen namespaces."""
    return _series(metric, 'cluster=~"$cluster"', 'namespace=~"$namespace"', *matchers)


def of_job(metric: str, *matchers: str) -> str:
    """The metric of the chosen job."""
    return _series(metric, 'cluster=~"$cluster"', 'namespace="$namespace"', 'trainingjob="$trainingjob"', *matchers)


def of_operator(metric: str, *matchers: str) -> str:
    """The metric of the operator's replicas."""
    return _series(metric, 'cluster=~"$cluster"', *matchers)


def pods_of_job(expr: str) -> str:
    """What the cluster measures of pods (labels namespace and pod), of the chosen job's pods alone.

    The job is no label there, and long pod names do not begin with the job's: the runtime's own series tell its pods.
    """
    pods = f"max by (cluster, namespace, pod) ({of_job('regatta_runtime_steps_total')})"
    return f"({expr}) * on (cluster, namespace, pod) group_left () ({pods} * 0 + 1)"


def last(expr: str, *labels: str) -> str:
    """One value where several replicas, or pods before and after a restart, tell the same."""
    return f"max by ({', '.join(labels) or JOB}) ({expr})"


def grown(series: str, *labels: str) -> str:
    """By how much what the status counts has grown in the time range, exactly.

    It begins at no zero: an increase would miss what a series has when it is seen first.
    """
    then = last(f"last_over_time({series}[$__range])", *labels)
    before = last(f"{series} offset $__range", *labels)
    return f"clamp_min({then} - ({before} or {then} * 0), 0)"


def quantile(part: float, histogram: str, *labels: str, window: str = "$__rate_interval") -> str:
    """A quantile of a histogram, by labels; `histogram` is the selected `_bucket` series."""
    return f"histogram_quantile({part}, sum by ({', '.join((*labels, 'le'))}) (rate({histogram}[{window}])))"


def _series(metric: str, *matchers: str) -> str:
    return f"{metric}{{{', '.join(matchers)}}}"
