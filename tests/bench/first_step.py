"""From the start of the last container to the first optimizer step: Regatta's launcher against torchrun with c10d.

Both run the same script in the same image on the same two nodes, two workers of two processes, taking turns. The
clock is the kernel's: each container's first process has a start time in /proc, and the script reads how old it is
when its first step is done; the youngest container of the crew is the one that started last.
"""

from __future__ import annotations

import re
import statistics
from typing import Final

from tests.bench.report import Result
from tests.cluster.kit import Playground, job
from tests.cluster.kit.jobs import JobBuilder

__all__ = ["measure"]

GOAL: Final = 1.0
TIMEOUT: Final = 180.0

SCRIPT: Final = """
import os
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
model = DistributedDataParallel(torch.nn.Linear(16, 16))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model(torch.ones(4, 16)).sum().backward()
optimizer.step()
now = time.clock_gettime(time.CLOCK_BOOTTIME)
started = int(open("/proc/1/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
print(f"age of the container at the first step: {now - started:.3f} s", flush=True)
dist.barrier()
dist.destroy_process_group()
"""

TORCHRUN: Final = (
    "exec torchrun --nnodes=$REGATTA_WORKERS --nproc-per-node=$REGATTA_PROCESSES --rdzv-backend=c10d "
    "--rdzv-endpoint=$MASTER_ADDR:29400 --rdzv-id=$REGATTA_UID-$REGATTA_ATTEMPT train.py"
)


def measure(place: Playground, *, rounds: int) -> list[Result]:
    """Run both sides `rounds` times in turns, and give the ratio of the medians."""
    ours, theirs = [], []
    for number in range(rounds):
        ours.append(_run(place, _crew(f"launcher-{number}")))
        theirs.append(_run(place, _crew(f"torchrun-{number}").set(runtime="Off").command("/bin/sh", "-c", TORCHRUN)))
    mine, yardstick = statistics.median(ours), statistics.median(theirs)
    return [
        Result(
            what="last container to first step / torchrun, c10d",
            value=f"{mine:.2f} s",
            against=f"{yardstick:.2f} s",
            ratio=mine / yardstick,
            goal=GOAL,
        )
    ]


def _crew(name: str) -> JobBuilder:
    return job(name).source(train=SCRIPT).workers(2).processes(2).spread()


def _run(place: Playground, crew: JobBuilder) -> float:
    """Age of the youngest container when the first step was done."""
    name = place.apply(crew)
    place.wait_phase(name, "Succeeded", timeout=TIMEOUT)
    ages = []
    for pod in place.pods(name):
        told = re.findall(r"first step: ([\d.]+) s", place.log(pod["metadata"]["name"]))
        ages.append(max(map(float, told)))
    place.delete(name)
    place.wait_gone(name, timeout=60)
    return min(ages)
