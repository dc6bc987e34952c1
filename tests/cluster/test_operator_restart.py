"""An operator that dies at any moment changes nothing that a user sees: each worker of an attempt has one pod, ever."""

from __future__ import annotations

import random
import time

import pytest

from tests.cluster.kit import Api, Playground, PodRecorder, job, wait_for
from tests.cluster.tool import api as tool

pytestmark = pytest.mark.cluster

RUNS = 20
WORKERS = 3
LONGEST = 2.0
"""Seconds after the apply in which everything a small job needs has been created, and the window of the kill."""
WAITS_AT_FIRST = "import os, time; time.sleep(3600 * (os.environ['REGATTA_ATTEMPT'] == '1'))"
"""Its second attempt, made when a pod of the first is deleted, falls into the next run's kill."""


def lose_a_pod(playground: Playground, name: str) -> None:
    pods = playground.wait(f"pods of {name}", lambda: playground.pods(name), name=name, timeout=60)
    playground.api.delete("pods", pods[0]["metadata"]["name"], namespace=playground.namespace, grace=0)


def test_killing_the_operator_never_makes_a_second_pod_for_the_same_worker_and_attempt(
    playground: Playground, cluster: tool.Cluster
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choice = random.Random(seed)
    api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
    names = []
    with PodRecorder(api, namespace=playground.namespace) as record:
        for run in range(RUNS):
            loses_a_pod = run % 3 == 0
            if run % 3 == 1:
                lose_a_pod(playground, names[-1])
            code = WAITS_AT_FIRST if loses_a_pod else "print('trained')"
            if choice.random() < 0.5:
                # Else the kill hits a leader in its first moments, with the last one's half-done work before it.
                wait_for("an operator that leads", playground.installation.leader, timeout=60)
            names.append(playground.apply(job(f"run{run}").workers(WORKERS).command("python3", "-c", code)))
            time.sleep(choice.uniform(0, LONGEST))
            playground.installation.kill_leader()
        statuses = {name: playground.wait_phase(name, "Succeeded", timeout=180) for name in names}
        seen = record.finish()
    api.close()

    doubled = {key: uids for key, uids in seen.items() if len(uids) > 1}
    assert doubled == {}
    for name in names:
        attempts = range(1, statuses[name]["attempt"] + 1)
        assert {key for key in seen if key[0] == name} == {
            (name, str(attempt), str(worker)) for attempt in attempts for worker in range(WORKERS)
        }


def test_an_operator_restart_keeps_a_running_job_and_its_clocks(playground: Playground) -> None:
    name = playground.apply(job("keeps").workers(2).command("python3", "-c", "import time; time.sleep(3600)"))
    before = playground.wait_phase(name, "Running", timeout=60)
    pods = [pod["metadata"]["uid"] for pod in playground.pods(name)]
    playground.installation.kill_leader()

    # A job that ends shows that another operator leads, and has looked at what it found.
    witness = playground.apply(job("witness").command("python3", "-c", "print('trained')"))
    playground.wait_phase(witness, "Succeeded", timeout=60)
    after = playground.status(name)

    assert [pod["metadata"]["uid"] for pod in playground.pods(name)] == pods
    for clock in ("startTime", "runningSince", "attempt", "phase"):
        assert after[clock] == before[clock]
