"""One campaign from its seed to its verdict, on a cluster of our own."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from regatta.kube import config
from tests.chaos.campaign import Campaign, Course, Subject
from tests.chaos.jobs import draw
from tests.chaos.nodes import Nodes
from tests.chaos.operator import Operator
from tests.chaos.verdict import OPERATOR, Verdict, counted, judge, left_running, story
from tests.chaos.weather import Weather
from tests.cluster.kit import Api, PodRecorder, release
from tests.cluster.machine_room.proxy import FaultProxy
from tests.cluster.tool import api as tool

__all__ = ["Result", "run"]

CRDS: Final = Path(__file__).resolve().parents[2] / "crds"
NODES: Final = 3
ENDS_WITHIN: Final = 40.0
"""Seconds in which the last processes of ended jobs have to be gone: as long as their pods may take to terminate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A campaign's outcome, and all that a reader wants to know of it."""

    verdict: Verdict
    table: str
    details: str


def run(*, seed: int, course: Course, keep_log: Path | None = None) -> Result:
    """Run a campaign. The same seed draws the same jobs and faults; which meet depends on the machine's pace.

    The operator's log of all its lives is kept in the file `keep_log`, where one is named.
    """
    cluster = tool.ensure_cluster(nodes=NODES)
    if cluster.external:
        raise tool.ToolError("chaos kills nodes and processes: it runs on a cluster of its own only, never on yours")
    images = tool.ensure_images(cluster, ("runtime", "pytorch"))
    apply = [*cluster.kubectl(), "apply", "--server-side", "--force-conflicts", "--filename", str(CRDS)]
    subprocess.run(apply, check=True, capture_output=True)
    choice = random.Random(seed)
    plans = [draw(f"job-{number}", choice, image=images["pytorch"].reference) for number in range(course.jobs)]
    with contextlib.ExitStack() as stack:
        api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
        stack.callback(api.close)
        watching = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
        stack.callback(watching.close)
        stack.enter_context(_alone(api))
        namespace = stack.enter_context(_namespace(api))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regatta-chaos-")))
        connection = config.load_kubeconfig(path=str(cluster.kubeconfig), context=cluster.context)
        proxy = stack.enter_context(FaultProxy(connection))
        recorder = stack.enter_context(PodRecorder(watching, namespace=namespace))
        through = proxy.kubeconfig(folder)
        operator = stack.enter_context(Operator(kubeconfig=through, namespace=namespace, images=images, folder=folder))
        nodes = Nodes(cluster.nodes, recorder=recorder, choice=choice)
        stack.callback(nodes.heal)
        campaign = Campaign(
            course,
            plans,
            api=api,
            namespace=namespace,
            recorder=recorder,
            nodes=nodes,
            weather=Weather(operator=operator, proxy=proxy, choice=choice),
            choice=choice,
        )
        if keep_log is not None:
            stack.callback(shutil.copy, operator.log_file, keep_log)
        began = time.monotonic()
        campaign.run()
        nodes.heal()
        subjects = list(campaign.subjects.values())
        running = _after_the_end(namespace, operator)
        _read_again(api, namespace, campaign.subjects)
        verdict = judge(subjects, pods=recorder.finish(), running=running, mistakes=operator.mistakes())
        details = [
            story(subject, verdict.wrong[subject.name], operator.lines(subject.name))
            for subject in subjects
            if subject.name in verdict.wrong
        ]
        details += verdict.wrong.get(OPERATOR, [])
        if details:
            details += ["=== all that was done", *campaign.log]
        table = _table(campaign, operator, proxy, seconds=time.monotonic() - began)
        return Result(verdict=verdict, table=table, details="\n".join(details))


def _after_the_end(namespace: str, operator: Operator) -> dict[str, list[str]]:
    """Processes that outlive the end of all jobs."""
    end = time.monotonic() + ENDS_WITHIN
    while (running := left_running(namespace)) and time.monotonic() < end:
        operator.tend()
        time.sleep(0.5)
    return running


def _read_again(api: Api, namespace: str, subjects: dict[str, Subject]) -> None:
    for found in api.list("trainingjobs", namespace=namespace):
        subjects[found["metadata"]["name"]].status = found.get("status", {})


@contextlib.contextmanager
def _namespace(api: Api) -> Iterator[str]:
    name = f"chaos-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    api.create("namespaces", {"metadata": {"name": name, "labels": labels}})
    yield name
    for job in api.list("trainingjobs", namespace=name):
        api.delete("trainingjobs", job["metadata"]["name"], namespace=name)
    for pod in api.list("pods", namespace=name):
        api.delete("pods", pod["metadata"]["name"], namespace=name, grace=0)
    api.delete("namespaces", name)


@contextlib.contextmanager
def _alone(api: Api) -> Iterator[None]:
    """Have an installed operator rest meanwhile: it would look after the same jobs."""
    found = api.find("deployments", release.RELEASE, namespace=release.NAMESPACE)
    replicas = found["spec"]["replicas"] if found else 0
    if not replicas:
        yield
        return
    _scale(api, 0)
    try:
        yield
    finally:
        _scale(api, replicas)


def _scale(api: Api, replicas: int) -> None:
    api.patch("deployments", release.RELEASE, {"spec": {"replicas": replicas}}, namespace=release.NAMESPACE)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        status = api.get("deployments", release.RELEASE, namespace=release.NAMESPACE)["status"]
        pods = api.list("pods", namespace=release.NAMESPACE, labels="app.kubernetes.io/component=operator")
        if status.get("readyReplicas", 0) == replicas and len(pods) == replicas:
            return
        time.sleep(0.3)
    raise TimeoutError(f"the installed operator did not come to {replicas} replicas")


def _table(campaign: Campaign, operator: Operator, proxy: FaultProxy, *, seconds: float) -> str:
    subjects = list(campaign.subjects.values())
    rows: list[tuple[str, object]] = [("seconds", f"{seconds:.0f}"), ("jobs", len(subjects))]
    for phase in sorted({subject.status.get("phase", "none") for subject in subjects}):
        kinds = [subject for subject in subjects if subject.status.get("phase") == phase]
        rows.append((f"  {phase}", len(kinds)))
    rows.append(("attempts", sum(subject.status.get("attempt", 0) for subject in subjects)))
    rows.append(("restarts in place", sum(subject.status.get("restartsInPlace", 0) for subject in subjects)))
    rows.append(("faults", sum(campaign.faults.values())))
    rows += [(f"  {what}", number) for what, number in sorted(campaign.faults.items())]
    rows.append(("  operator ended by itself", operator.gave_up))
    rows.append(("  faulty answers of the API server", sum(proxy.counts.values())))
    booked, told = counted(subjects)
    rows += [("failures injected", sum(booked.values()))]
    rows += [(f"  {causes}", number) for causes, number in sorted(booked.items())]
    rows += [("failures in the statuses", sum(told.values()))]
    rows += [(f"  {cause}", number) for cause, number in sorted(told.items())]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value:>6}" for name, value in rows)
