"""Fleet: what the cluster's accelerators were used for, what waits, what it costs, and which jobs to look at."""

from typing import Any, Final

from charts.dashboards.panels import Query, Variable, bars, board, lines, number, query, row, stacked, table_of
from charts.dashboards.queries import CAUSES, CLUSTER, LEDGER, PHASES, STATES, chosen, grown, last, quantile

__all__ = ["fleet"]

NAMESPACES: Final = Variable(
    name="namespace",
    title="Namespace",
    values='label_values(regatta_trainingjobs{cluster=~"$cluster"}, namespace)',
    several=True,
)
HELD: Final = "namespace_trainingjob_state:regatta_accelerator_seconds:rate5m"
GOODPUT: Final = "namespace_trainingjob:regatta_goodput:ratio_rate5m"
STALL: Final = "namespace_trainingjob:regatta_data_stall:ratio_rate5m"
BUSY: Final = "namespace_trainingjob:regatta_gpu_busy:ratio_rate5m"
COST: Final = "namespace_trainingjob:regatta_cost:hourly"
HOLDING: Final = 'phase=~"Starting|Running|Restarting"'
KEY: Final = "namespace, trainingjob"
TO_JOB: Final = (
    "/d/regatta-job?var-datasource=${datasource}&var-cluster=${cluster}"
    "&var-namespace=${__data.fields.Namespace}&var-trainingjob=${__value.raw}&${__url_time_range}"
)
GOOD: Final = ((None, "red"), (0.5, "orange"), (0.8, "green"))


def _over_range(expr: str) -> str:
    """Sum of the values of each minute; divided by 60 it is hours of what the value counts."""
    return f"sum_over_time({expr}[$__range:1m])"


def _pace(matcher: str) -> str:
    return f"rate({chosen(LEDGER, matcher)}[$__rate_interval])"


def fleet() -> Any:
    """The dashboard of the whole cluster."""
    held = chosen(HELD, 'state!="queued"')
    stepping = chosen(HELD, 'state="step"')
    wasted = chosen(HELD, 'state!~"step|queued"')
    jobs = last(chosen("regatta_trainingjobs"), "cluster", "namespace", "framework", "phase")
    living = last(
        chosen("regatta_trainingjobs", 'phase!~"Succeeded|Failed"'), "cluster", "namespace", "framework", "phase"
    )
    restarts = chosen("regatta_trainingjob_restarts_total")
    goodput, cost = last(chosen(GOODPUT)), last(chosen(COST))
    loss = f"{cost} * on (cluster, namespace, trainingjob) (1 - {goodput})"
    allocated = last(chosen("regatta_accelerators_allocated"), "cluster", "namespace", "resource")
    requested = last(chosen("regatta_accelerators_requested"), "cluster", "namespace", "resource")

    holders = f"max by ({KEY}) ({chosen('regatta_trainingjob_phase', HOLDING)})"

    def of_holders(metric: str) -> Query:
        """A column of the table, of the jobs alone that hold something."""
        return query(f"max by ({KEY}) ({chosen(metric)}) and on ({KEY}) ({holders})", instant=True)

    panels = [
        number(
            "Goodput",
            "Share of the accelerators' time in which training steps were done, over the whole time range. "
            "Everything that is held counts: waiting for data, checkpoints, restarts, and steps done twice. Where "
            "nobody holds accelerators it is the mean of all jobs.",
            query(
                f"sum({_over_range(stepping)}) / sum({_over_range(held)})"
                f" or avg(avg_over_time({chosen(GOODPUT)}[$__range]))",
                instant=True,
            ),
            unit="percentunit",
            decimals=1,
            steps=GOOD,
        ),
        number(
            "Goodput now",
            "The same over the last five minutes.",
            query(f"sum({stepping}) / sum({held}) or avg({chosen(GOODPUT)})"),
            unit="percentunit",
            decimals=1,
            steps=GOOD,
        ),
        number(
            "Accelerators held",
            "Accelerators that jobs hold now.",
            query(f"sum({allocated})"),
            unit="short",
        ),
        number(
            "Held, not stepping",
            "Accelerators that are held now and do not train: what could be had back.",
            query(f"sum({wasted})"),
            unit="short",
            decimals=1,
            steps=((None, "orange"),),
        ),
        number(
            "Jobs that wait",
            "Jobs in phase Queued: they hold nothing, and wait for the scheduler or a quota.",
            query(f'sum({jobs} and on (phase) label_replace(vector(1), "phase", "Queued", "", "")) or vector(0)'),
            unit="short",
            decimals=0,
            steps=((None, "blue"),),
        ),
        number(
            "Cost",
            "What all jobs cost per hour, by the prices in the chart's values, in the currency given there. "
            "Empty where no prices are given.",
            query(f"sum({cost})"),
            unit="suffix: /h",
            decimals=2,
        ),
        row("What the accelerators did"),
        stacked(
            "Accelerators by state",
            "Each accelerator that jobs hold, by what its job does: the height is what is held, the green part trains. "
            "The states are those of the ledger in the jobs' status.",
            # What trains lies at the bottom, where its course can be read.
            [
                query(f"sum by (state) ({stepping})", "{{state}}"),
                query(f"sum by (state) ({wasted})", "{{state}}"),
            ],
            unit="short",
            width=16,
            height=12,
            colours=STATES,
        ),
        bars(
            "Accelerator-hours by state",
            "The same, added up over the time range.",
            query(f"sort_desc(sum by (state) ({_over_range(held)}) / 60 > 0)", "{{state}}", instant=True),
            unit="suffix: h",
            width=8,
            height=12,
            colours=STATES,
            decimals=1,
        ),
        row("Jobs"),
        table_of(
            "Jobs, by what they waste",
            "Jobs that hold nodes now. Waste: how many of their accelerators do not train. Goodput, data wait and busy "
            "GPUs are of the last five minutes; cost is per hour, where prices are given.",
            {
                "Accelerators": (query(f"sum by ({KEY}) ({held}) or {holders} * 0", instant=True), "short"),
                "Waste": (query(f"sum by ({KEY}) ({wasted}) and on ({KEY}) ({holders})", instant=True), "short"),
                "Goodput": (of_holders(GOODPUT), "percentunit"),
                "Data wait": (of_holders(STALL), "percentunit"),
                "GPUs busy": (of_holders(BUSY), "percentunit"),
                "Cost per hour": (of_holders(COST), "short"),
                "Attempt": (of_holders("regatta_trainingjob_attempt"), "none"),
            },
            keys={"trainingjob": "Job", "namespace": "Namespace"},
            width=24,
            height=9,
            order="Waste",
            gauges={"Goodput": "green", "Data wait": "orange", "GPUs busy": "blue"},
            link=("Job", TO_JOB),
        ),
        row("All jobs, with and without accelerators"),
        stacked(
            "Jobs by what they do",
            "Each job counts as one, whatever it holds: the height is the number of jobs. From the ledgers of the "
            "jobs' statuses.",
            [
                query(f"sum by (state) ({last(_pace(matcher), 'cluster', KEY, 'state')})", "{{state}}", slow=True)
                for matcher in ('state="step"', 'state!="step"')
            ],
            unit="short",
            width=16,
            height=9,
            colours=STATES,
            calcs=("mean",),
        ),
        bars(
            "Job-hours by state",
            "The same, added up over the time range.",
            query(
                f"sort_desc(sum by (state) ({grown(chosen(LEDGER), 'cluster', KEY, 'state')}) / 3600 > 0)",
                "{{state}}",
                instant=True,
                slow=True,
            ),
            unit="suffix: h",
            width=8,
            height=9,
            colours=STATES,
            decimals=2,
        ),
        row("Queue"),
        stacked(
            "Jobs by phase",
            "How many jobs are in each phase that has not ended.",
            [
                query(
                    f"sum by (phase) ({living})",
                    "{{phase}}",
                )
            ],
            unit="short",
            width=8,
            colours=PHASES,
            calcs=("lastNotNull",),
        ),
        lines(
            "Time in the queue",
            "From a job's creation until it holds its first node: half of the jobs wait less than the first curve "
            "says, nine of ten less than the second.",
            [
                query(quantile(0.5, chosen("regatta_trainingjob_queue_wait_seconds_bucket"), window="1h"), "half"),
                query(quantile(0.9, chosen("regatta_trainingjob_queue_wait_seconds_bucket"), window="1h"), "9 of 10"),
            ],
            unit="s",
            width=8,
            calcs=("lastNotNull",),
        ),
        stacked(
            "From the first node to the first step",
            "Mean time of each stage of the jobs that started in the hour before.",
            [
                query(
                    f"sum by (stage) (rate({chosen('regatta_trainingjob_startup_seconds_sum')}[1h])) "
                    f"/ sum by (stage) (rate({chosen('regatta_trainingjob_startup_seconds_count')}[1h]))",
                    "{{stage}}",
                )
            ],
            unit="s",
            width=8,
            colours={
                "scheduling": "blue",
                "image_pull": "light-yellow",
                "init": "super-light-purple",
                "rendezvous": "light-purple",
                "first_step": "green",
            },
            calcs=("lastNotNull",),
        ),
        row("Failures"),
        stacked(
            "Restarts by cause",
            "Restarts of jobs, in place and by new pods, in each interval.",
            [
                # Counters of whole events: what an increase has beyond a whole number is extrapolated.
                query(
                    f"sum by (cause) (floor(increase({restarts}[$__interval]))) > 0",
                    "{{cause}}",
                    tiled=True,
                )
            ],
            unit="short",
            width=8,
            colours=CAUSES,
            calcs=("sum",),
            columns=True,
        ),
        lines(
            "Time until training went on",
            "From a failure to the next step that was new, by cause: the mean of the hour before.",
            [
                query(
                    f"sum by (cause) (rate({chosen('regatta_trainingjob_recovery_seconds_sum')}[1h])) "
                    f"/ (sum by (cause) (rate({chosen('regatta_trainingjob_recovery_seconds_count')}[1h])) > 0)",
                    "{{cause}}",
                )
            ],
            unit="s",
            width=8,
            colours=CAUSES,
            calcs=("lastNotNull",),
        ),
        bars(
            "How jobs ended",
            "Jobs that ended in the time range, by outcome.",
            query(
                f"sum by (outcome) (increase({chosen('regatta_trainingjobs_finished_total')}[$__range]))",
                "{{outcome}}",
                instant=True,
            ),
            unit="short",
            width=8,
            colours={"succeeded": "green", "failed": "red"},
            decimals=0,
        ),
        row("Use and money"),
        lines(
            "Accelerators: asked for and held",
            "What jobs ask for, and what they hold. The gap waits.",
            [
                query(f"sum by (resource) ({requested})", "{{resource}} asked for"),
                query(f"sum by (resource) ({allocated})", "{{resource}} held"),
            ],
            unit="short",
            width=8,
            calcs=("lastNotNull",),
            dashed=("asked for",),
        ),
        lines(
            "Busy GPUs, by namespace",
            "Mean share of time in which a kernel ran on the GPUs of a namespace's jobs. A busy GPU may still train "
            "slowly; one that is not busy never trains. Empty where no GPU is read.",
            [query(f"avg by (namespace) ({chosen(BUSY)})", "{{namespace}}")],
            unit="percentunit",
            width=8,
            high=1,
        ),
        lines(
            "Cost per hour, and what was for nothing",
            "What all jobs cost, and the part of it in which nothing was trained. Empty where no prices are given.",
            [
                query(f"sum({cost})", "cost"),
                query(f"sum({loss})", "for nothing"),
            ],
            unit="suffix: /h",
            width=8,
            colours={"cost": "blue", "for nothing": "orange"},
        ),
    ]
    return board(
        uid="regatta-fleet",
        title="Regatta / Fleet",
        description="What the cluster's accelerators were used for, what ate the rest, what waits, and what it costs.",
        variables=[CLUSTER, NAMESPACES],
        panels=panels,
        since="now-6h",
        refresh="1m",
    )
