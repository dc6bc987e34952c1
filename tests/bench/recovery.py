"""From the death of a training process to the next optimizer step: by a restart in place against by a new attempt.

In place: a training process is killed and its launcher lives. New attempt: the launcher is killed, its processes die
with it, and all pods are made anew. All times are of one kernel's clock: the pods of the test cluster run on this
machine. A round ends when every rank of the crew has done a step again.

PyTorch's crew trains with DistributedDataParallel, so what it takes to load torch is part of its time, twice over on
as few cores as a workstation has. The plain crew only reports steps: its time is what Kubernetes, the operator and the
launchers take, and it is light enough for sixteen workers on two cores.
"""

from __future__ import annotations

import os
import random
import re
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.report import Result
from tests.cluster.kit import Playground, job, main_process, training_process
from tests.cluster.kit.jobs import JobBuilder
from tests.cluster.kit.processes import Process

__all__ = ["measure"]

GOAL: Final = 1.0
TIMEOUT: Final = 240.0
SETTLED: Final = 4.0
"""Seconds a generation lives before it is harmed: the launchers make those wait that follow several quick deaths."""

_FIRST: Final = re.compile(r"rank (\d+): first step of attempt (\d+), generation (\d+) at ([\d.]+)$", re.MULTILINE)

TELL: Final = """
import os, time
from regatta_runtime import progress

def tell():
    place = [os.environ[name] for name in ("RANK", "REGATTA_ATTEMPT", "REGATTA_GENERATION")]
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    print("rank %s: first step of attempt %s, generation %s at " % tuple(place) + f"{now:.3f}", flush=True)
"""
PLAIN: Final = """
step = 0
while True:
    step += 1
    progress.report(step=step)
    if step == 1:
        tell()
    time.sleep(0.5)
"""
PYTORCH: Final = """
import torch
import torch.distributed as dist

torch.set_num_threads(1)
dist.init_process_group("gloo")
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(16, 16))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
step = 0
while True:
    optimizer.zero_grad()
    model(torch.ones(4, 16)).sum().backward()
    optimizer.step()
    step += 1
    progress.report(step=step)
    if step == 1:
        tell()
    time.sleep(0.5)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One crew to harm."""

    title: str
    name: str
    workers: int
    program: str

    def job(self, name: str, *, budget: int) -> JobBuilder:
        return job(name).workers(self.workers).source(train=TELL + self.program).budget(budget)


SHAPES: Final = (
    Shape(title="2 workers, PyTorch DDP", name="pytorch", workers=2, program=PYTORCH),
    Shape(title="2 workers, plain Python", name="plain", workers=2, program=PLAIN),
    Shape(title="16 workers, plain Python", name="many", workers=16, program=PLAIN),
)


def measure(place: Playground, *, rounds: int) -> list[Result]:
    """Harm each crew `rounds` times either way, and compare the medians."""
    results = []
    for shape in SHAPES:
        in_place = _in_place(place, shape, rounds=rounds)
        anew = [_by_new_attempt(place, shape, number=number) for number in range(rounds)]
        print(f"{shape.title}: in place {_seconds(in_place)}; by new attempt {_seconds(anew)}", flush=True)
        mine, yardstick = statistics.median(in_place), statistics.median(anew)
        results.append(
            Result(
                what=f"death to step, {shape.title}",
                value=f"{mine:.2f} s",
                against=f"{yardstick:.2f} s",
                ratio=mine / yardstick,
                goal=GOAL,
            )
        )
    return results


def _in_place(place: Playground, shape: Shape, *, rounds: int) -> list[float]:
    """Kill a process of one crew again and again; the budget is large enough that its pods stay."""
    name = place.apply(shape.job(f"{shape.name}-in-place", budget=rounds + 2))
    taken = []
    for generation in range(1, rounds + 1):
        _all_stepped(place, shape, name, attempt=1, generation=generation)
        pod = random.choice(place.pods(name))
        killed_at = _kill_after_a_while(pod, _only_training_process)
        stepped_at = _all_stepped(place, shape, name, attempt=1, generation=generation + 1)
        taken.append(stepped_at - killed_at)
    _remove(place, name)
    return taken


def _by_new_attempt(place: Playground, shape: Shape, *, number: int) -> float:
    """Kill a launcher of a crew that has not failed before: the operator makes no pause then."""
    name = place.apply(shape.job(f"{shape.name}-anew-{number}", budget=3))
    _all_stepped(place, shape, name, attempt=1, generation=1)
    pod = random.choice(place.pods(name))
    killed_at = _kill_after_a_while(pod, lambda pod: main_process(pod, container="trainer"))
    stepped_at = _all_stepped(place, shape, name, attempt=2, generation=1)
    _remove(place, name)
    return stepped_at - killed_at


def _only_training_process(pod: dict[str, Any]) -> Process | None:
    return training_process(pod, rank=int(pod["metadata"]["labels"]["regatta.dev/worker"]))


def _kill_after_a_while(pod: dict[str, Any], find: Callable[[dict[str, Any]], Process | None]) -> float:
    time.sleep(SETTLED)
    victim = find(pod)
    assert victim is not None, f"nothing to kill in {pod['metadata']['name']}"
    os.kill(victim.pid, signal.SIGKILL)
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _all_stepped(place: Playground, shape: Shape, name: str, *, attempt: int, generation: int) -> float:
    """When the last rank of this generation did its first step."""

    def probe() -> float | None:
        pods = [pod for pod in place.pods(name) if pod["metadata"]["labels"]["regatta.dev/attempt"] == str(attempt)]
        steps: dict[str, float] = {}
        for pod in pods:
            for rank, *where, at in _FIRST.findall(place.log(pod["metadata"]["name"])):
                if where == [str(attempt), str(generation)]:
                    steps[rank] = float(at)
            if len(steps) == 0:
                return None
        return max(steps.values()) if len(steps) == shape.workers else None

    what = f"all ranks of generation {generation} of attempt {attempt} of {name} to do a step"
    return place.wait(what, probe, name=name, timeout=TIMEOUT)


def _remove(place: Playground, name: str) -> None:
    place.delete(name)
    place.wait_gone(name, timeout=120)


def _seconds(times: list[float]) -> str:
    return " ".join(f"{seconds:.2f}" for seconds in times) + " s"
