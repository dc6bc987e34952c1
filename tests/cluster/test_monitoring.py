"""The whole way on a real cluster: the monitors, the Prometheus operator's configuration, Prometheus, and its rules."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import LEASE
from tests.cluster.kit import Installation, JobBuilder, Playground, job, program, release, results, wait_for
from tests.cluster.tool import api as tool
from tests.cluster.tool import external
from tests.monitoring import stack
from tests.monitoring.stack import Prometheus

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(external.chosen() is not None, reason="Prometheus runs on this machine, and must reach pods"),
]

OFTEN = {"interval": "2s", "scrapeTimeout": "2s"}
SECONDS = 60
GOODPUT = "namespace_trainingjob:regatta_goodput:ratio_rate5m"
STALL = "namespace_trainingjob:regatta_data_stall:ratio_rate5m"
STEPS = "regatta_runtime_steps_total"
PODS = "regatta-system/regatta-jobs"
"""What Prometheus calls the worker pods together: the PodMonitor's name."""


@pytest.fixture(scope="module")
def prometheus(cluster: tool.Cluster, installation: Installation) -> Iterator[Prometheus]:
    """Prometheus, which scrapes what the chart tells it to, often."""
    images = tool.ensure_images(cluster)
    begin = stack.start(cluster)
    monitoring = {"serviceMonitor": {**OFTEN, "jobsInterval": "2s"}, "podMonitor": OFTEN}
    release.install(cluster, images, {"leaderElection": LEASE, "monitoring": {"enabled": True, **monitoring}})
    yield begin()
    stack.stop()
    release.install(cluster, images, {"leaderElection": LEASE})


def answerer(name: str, what: str, place: Playground) -> JobBuilder:
    """A job whose own container answers on the port that the monitor looks for."""
    ports = [{"name": "metrics", "containerPort": 9464}]
    security = {"runAsNonRoot": True, "runAsUser": 4711}
    pod = {"securityContext": security, "containers": [{"name": "trainer", "ports": ports}]}
    return (
        job(name)
        .framework("Custom")
        .image(place.installation.pytorch_image)
        .source(train=program("floods"))
        .command("python3", "train.py", what, "9464")
        .set(runtime="Off", podTemplate={"spec": pod})
    )


def target_of(prometheus: Prometheus, place: Playground, name: str) -> dict[str, Any] | None:
    """The only target of a job of one worker, once it was scraped."""
    found = prometheus.targets(namespace=place.namespace, trainingjob=name)
    return found[0] if len(found) == 1 and found[0]["health"] != "unknown" else None


def test_a_training_run_is_found_and_told_by_namespace_pod_job_worker_and_rank(
    prometheus: Prometheus, playground: Playground
) -> None:
    playground.apply(job("sleeps").workers(2).source(train=program("sleeps")).env(STEPS="80"))
    mine = f'{{namespace="{playground.namespace}", trainingjob="sleeps"'

    def both() -> list[stack.Sample] | None:
        found = prometheus.query(f"{STEPS}{mine}}}")
        return found if len(found) == 2 and all(sample.value > 30 for sample in found) else None

    told = playground.wait("steps of both ranks in Prometheus", both, name="sleeps", timeout=SECONDS * 2)
    pods = [pod["metadata"]["name"] for pod in playground.pods("sleeps")]
    goodput = prometheus.query(f"{GOODPUT}{mine}}}")
    stall = prometheus.query(f"{STALL}{mine}}}")

    assert sorted((s.labels["rank"], s.labels["worker"], s.labels["pod"]) for s in told) == [
        ("0", "0", pods[0]),
        ("1", "1", pods[1]),
    ]
    assert {(s.labels["container"], s.labels["job"]) for s in told} == {("trainer", PODS)}
    assert [0.3 < sample.value < 0.8 for sample in goodput] == [True]
    playground.wait_phase("sleeps", "Succeeded", timeout=SECONDS * 2)
    [truth] = results(playground.log(pods[0]))
    assert [s.value for s in stall] == [pytest.approx(truth["waited"] / (truth["waited"] + truth["worked"]), abs=0.05)]


def test_the_operators_series_speak_of_the_jobs_namespaces(prometheus: Prometheus, playground: Playground) -> None:
    playground.apply(job("quick").workers(1).command("sleep", "20"))

    def seen() -> list[stack.Sample] | None:
        return prometheus.query(f'sum by (framework) (regatta_trainingjobs{{namespace="{playground.namespace}"}})')

    playground.wait("the job in the operator's series", seen, name="quick", timeout=SECONDS)

    leaders = prometheus.query("regatta_leader")
    assert {(s.labels["namespace"], s.labels["job"]) for s in leaders} == {("regatta-system", "regatta-metrics")}
    assert prometheus.query("regatta_trainingjobs{exported_namespace!=''}") == []
    wait_for(
        "one leader of two replicas",
        lambda: [s.value for s in prometheus.query("sum(regatta_leader)")] == [1.0] or None,
        timeout=SECONDS,
        explain=lambda: str(prometheus.query("regatta_leader")),
    )
    alive = {pod["metadata"]["name"] for pod in playground.installation.pods()}
    read = {target["labels"]["pod"] for target in prometheus.targets(job="regatta-metrics") if target["health"] == "up"}
    assert read == alive


def test_each_job_has_series_of_its_own_from_the_replica_that_leads(
    prometheus: Prometheus, playground: Playground
) -> None:
    playground.apply(job("told").workers(2).command("sleep", "30"))
    mine = f'{{namespace="{playground.namespace}", trainingjob="told"'

    def running() -> list[stack.Sample] | None:
        return prometheus.query(f'regatta_trainingjob_phase{mine}, phase="Running"}}')

    [phase] = playground.wait("the phase in Prometheus", running, name="told", timeout=SECONDS)

    assert (phase.value, phase.labels["pod"]) == (1.0, playground.installation.leader())
    [desired] = prometheus.query(f"regatta_trainingjob_pods_desired{mine}}}")
    assert desired.value == 2.0
    pages = [target for target in prometheus.targets(job="regatta-metrics") if "/jobs" in target["scrapeUrl"]]
    alive = {pod["metadata"]["name"] for pod in playground.installation.pods()}
    assert {target["labels"]["pod"] for target in pages if target["health"] == "up"} == alive


def test_every_rule_is_evaluated_without_an_error(prometheus: Prometheus) -> None:
    def evaluated() -> list[dict[str, Any]] | None:
        rules = prometheus.rules()
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules = wait_for("all rules to be evaluated", evaluated, timeout=SECONDS)

    assert len(rules) > 40
    assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] != "ok"} == {}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        pytest.param("many", "sample limit exceeded", id="many series"),
        pytest.param("endless", "body size limit exceeded", id="an answer without an end"),
        pytest.param("wide", "label_value_length_limit", id="a label as long as a novel"),
    ],
)
def test_a_pod_that_floods_prometheus_is_not_taken_and_hurts_nobody(
    prometheus: Prometheus, playground: Playground, what: str, said: str
) -> None:
    playground.apply(job("trains").source(train=program("sleeps")).env(STEPS="120"))
    playground.apply(answerer("floods", what, playground))
    steps = f'sum({STEPS}{{namespace="{playground.namespace}", trainingjob="trains"}})'

    flood = playground.wait(
        "the flood to be seen", lambda: target_of(prometheus, playground, "floods"), name="floods", timeout=SECONDS
    )
    [before] = playground.wait(
        "steps of the other job", lambda: prometheus.query(f"{steps} > 0"), name="trains", timeout=SECONDS
    )

    assert flood["health"] == "down"
    assert said in flood["lastError"]
    playground.wait(
        "further steps", lambda: prometheus.query(f"{steps} > {before.value + 10}"), name="trains", timeout=SECONDS
    )
    assert prometheus.query(f'{STEPS}{{namespace="{playground.namespace}", trainingjob="floods"}}') == []
    [other] = prometheus.targets(namespace=playground.namespace, trainingjob="trains")
    assert other["health"] == "up", other["lastError"]


def test_a_pod_that_lies_speaks_for_itself_alone(prometheus: Prometheus, playground: Playground) -> None:
    playground.apply(answerer("lies", "lies", playground))
    target = playground.wait(
        "the liar to be read", lambda: target_of(prometheus, playground, "lies"), name="lies", timeout=SECONDS
    )
    assert target["health"] == "up", target["lastError"]
    own = playground.wait(
        "what it told",
        # The operator tells of the job as well.
        lambda: prometheus.query(f'{{trainingjob="lies", namespace="{playground.namespace}", job="{PODS}"}}'),
        name="lies",
        timeout=SECONDS,
    )

    told = {s.labels["__name__"]: s for s in own if not s.labels["__name__"].startswith("scrape_")}
    assert set(told) == {STEPS, "up"}
    assert told[STEPS].labels["pod"] == playground.pods("lies")[0]["metadata"]["name"]
    assert (told[STEPS].labels["worker"], told[STEPS].labels["rank"]) == ("0", "0")
    assert not [label for label in told[STEPS].labels if label.startswith("exported_")]
    assert prometheus.query('{trainingjob="victim"}') == []
    # A time of its own would hide it from every query until then.
    [at] = prometheus.query(f'timestamp({STEPS}{{namespace="{playground.namespace}"}})')
    assert at.value == pytest.approx(time.time(), abs=30)


def test_a_feed_beside_the_training_container_is_read_by_its_ports_name(
    prometheus: Prometheus, playground: Playground
) -> None:
    fed = answerer("fed", "lies", playground).obj()["spec"]
    mount = {"name": "regatta-source", "mountPath": "/workspace"}
    sidecar = {
        "name": "beside",
        "image": playground.installation.pytorch_image,
        "restartPolicy": "Always",
        "command": ["python3", "/workspace/train.py", "feed", "9466"],
        "ports": [{"name": "feed-metrics", "containerPort": 9466}],
        "volumeMounts": [mount],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    fed["podTemplate"]["spec"]["initContainers"] = [sidecar]
    playground.apply(job("fed").set(**fed))

    [told] = playground.wait(
        "what the feed told",
        lambda: prometheus.query(f'regatta_preprocess_samples_total{{namespace="{playground.namespace}"}}'),
        name="fed",
        timeout=SECONDS,
    )

    assert told.value == 5.0
    assert {label: told.labels[label] for label in ("trainingjob", "worker", "container")} == {
        "trainingjob": "fed",
        "worker": "0",
        "container": "beside",
    }
    assert prometheus.query(f'{STEPS}{{namespace="{playground.namespace}", container="beside"}}') == []


def test_promtool_finds_nothing_to_complain_about_in_what_is_served(
    prometheus: Prometheus, playground: Playground
) -> None:
    playground.apply(job("trains").source(train=program("sleeps")).env(STEPS="120"))
    playground.wait(
        "the run to be read",
        lambda: prometheus.query(f'{STEPS}{{namespace="{playground.namespace}"}} > 3'),
        name="trains",
        timeout=SECONDS,
    )
    targets = [
        *prometheus.targets(job="regatta-metrics"),
        *prometheus.targets(namespace=playground.namespace, trainingjob="trains"),
    ]

    for target in (each for each in targets if each["health"] == "up"):
        with urllib.request.urlopen(target["scrapeUrl"], timeout=10) as answer:
            served = answer.read()
        command = [str(tool.promtool_path()), "check", "metrics"]
        done = subprocess.run(command, input=served, capture_output=True, check=False)
        assert done.returncode == 0, f"{target['scrapeUrl']}:\n{(done.stdout + done.stderr).decode()}"
    assert {target["labels"]["job"] for target in targets if target["health"] == "up"} == {
        "regatta-metrics",
        PODS,
    }
