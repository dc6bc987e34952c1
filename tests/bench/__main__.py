"""`make bench`: what the operator costs and how fast it is, as ratios; exit code 1 where a goal is missed."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Protocol

from regatta.kube import config
from tests.bench import creation, first_step, micro, overhead, recovery, scrapes
from tests.bench.creation import Shape
from tests.bench.operator_process import OperatorProcess
from tests.bench.report import Result, machine, table
from tests.cluster.kit import Api, Installation, Playground, release
from tests.cluster.tool import api as tool

CRDS = Path(__file__).resolve().parents[2] / "crds"
OPERATORS = ("--selector", "app.kubernetes.io/name=regatta")


def main() -> int:
    """Run the benchmarks and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of either side (default 5)")
    parser.add_argument("--kwok-nodes", type=int, default=20, help="fake nodes to schedule on (default 20)")
    parser.add_argument(
        "--only", choices=("first-step", "recovery", "operator", "overhead"), help="leave the others out"
    )
    arguments = parser.parse_args()
    results: list[Result] = []
    if arguments.only in (None, "overhead"):
        results += overhead.measure(rounds=arguments.rounds)
    if arguments.only != "overhead":
        results += on_a_cluster(arguments)
    print(f"\n{machine()}\nmedian of {arguments.rounds} runs\n\n{table(results)}\n")
    missed = [result for result in results if result.missed]
    for result in missed:
        print(f"missed: {result.what}: {result.ratio:.2f} > {result.goal:.2f}", file=sys.stderr)
    return 1 if missed else 0


def on_a_cluster(arguments: argparse.Namespace) -> list[Result]:
    """Run those benchmarks that need one."""
    cluster = tool.ensure_cluster()
    results: list[Result] = []
    if arguments.only in (None, "first-step"):
        results += training(cluster, first_step.measure, rounds=arguments.rounds)
    if arguments.only in (None, "recovery"):
        results += training(cluster, recovery.measure, rounds=arguments.rounds)
    if arguments.only in (None, "operator"):
        results += operating(cluster, rounds=arguments.rounds, kwok_nodes=arguments.kwok_nodes)
    return results


class Measure(Protocol):
    """Benchmark of crews that really train."""

    def __call__(self, place: Playground, *, rounds: int) -> list[Result]: ...


def training(cluster: tool.Cluster, measure: Measure, *, rounds: int) -> list[Result]:
    """Install the chart and measure crews in a namespace of their own."""
    images = tool.ensure_images(cluster, ("operator", "runtime", "pytorch"))
    release.install(cluster, images)
    api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    api.create("namespaces", {"metadata": {"name": namespace}})
    try:
        installation = Installation(
            api=api,
            namespace=release.NAMESPACE,
            release=release.RELEASE,
            pytorch_image=images["pytorch"].reference,
        )
        return measure(Playground(installation, namespace), rounds=rounds)
    finally:
        api.delete("namespaces", namespace)
        api.close()


def operating(cluster: tool.Cluster, *, rounds: int, kwok_nodes: int) -> list[Result]:
    """Measure an operator of its own on fake nodes."""
    prepare(cluster)
    tool.kwok_up(nodes=kwok_nodes, target=cluster)
    try:
        return asyncio.run(_operate(cluster, rounds=rounds))
    finally:
        tool.kwok_down()


def prepare(cluster: tool.Cluster) -> None:
    """Give the cluster the CRD and make sure that no other operator answers for the jobs of the benchmark."""
    kubectl = cluster.kubectl()
    subprocess.run(
        [*kubectl, "apply", "--server-side", "--force-conflicts", "--filename", str(CRDS)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    found = subprocess.run(
        [*kubectl, "get", "deployments", "--all-namespaces", "--output", "name", *OPERATORS],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    if found and cluster.external:
        sys.exit("an operator runs in this cluster; benchmark on one without it, or scale it to 0 first")
    if found:
        print("scaling the installed operator to 0; `make demo` and the tests install it anew", file=sys.stderr)
        subprocess.run(
            [*kubectl, "scale", "deployments", "--namespace", release.NAMESPACE, "--replicas=0", *OPERATORS],
            check=True,
            stdout=subprocess.DEVNULL,
        )


async def _operate(cluster: tool.Cluster, *, rounds: int) -> list[Result]:
    connection = config.load(kubeconfig=str(cluster.kubeconfig), context=cluster.context)
    shapes = [Shape(jobs=1, workers=100), Shape(jobs=100, workers=10)]
    with OperatorProcess(kubeconfig=cluster.kubeconfig) as operator:
        pods = await creation.sample(connection, count=20)
        created = await creation.measure(connection, shapes=shapes, rounds=rounds, operator=operator)
    return [*micro.measure(pods), *scrapes.measure(), *created]


if __name__ == "__main__":
    sys.exit(main())
