"""A plain training script: DistributedDataParallel where WORLD_SIZE says so, one process otherwise; no word of Regatta.

The same seed gives the same parameters however many processes share the work, up to rounding. It keeps the newest
checkpoints, if told where, and goes on from the newest that all ranks have.
"""

import json
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

STEPS = int(os.environ["STEPS"])
PAUSE = float(os.environ.get("STEP_PAUSE", "0"))
BATCH = 64
CHECKPOINTS = os.environ.get("CHECKPOINTS", "")


def checkpoint(step: int, rank: int) -> Path:
    return Path(CHECKPOINTS) / f"rank{rank}-step{step}.pt"


def newest(rank: int) -> int:
    if not CHECKPOINTS:
        return 0
    return max((int(p.stem.split("step")[1]) for p in Path(CHECKPOINTS).glob(f"rank{rank}-step*.pt")), default=0)


def save(step: int, rank: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if not CHECKPOINTS:
        return
    part = Path(CHECKPOINTS) / f".rank{rank}.part"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, part)
    part.rename(checkpoint(step, rank))  # a kill leaves either the whole file or none
    checkpoint(step - 3, rank).unlink(missing_ok=True)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(7)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    net = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    model: nn.Module = net
    done = torch.tensor(newest(rank))
    if world > 1:
        dist.init_process_group("gloo")
        dist.all_reduce(done, op=dist.ReduceOp.MIN)
        model = nn.parallel.DistributedDataParallel(net)
    start = int(done)
    if start:
        state = torch.load(checkpoint(start, rank))
        net.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    print(f"starts after step {start}", flush=True)
    for step in range(start + 1, STEPS + 1):
        batch = torch.randn(BATCH, 16, generator=torch.Generator().manual_seed(step))
        target = torch.sin(batch.sum(dim=1, keepdim=True))
        mine = slice(rank, BATCH, world)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(batch[mine]), target[mine]).backward()
        optimizer.step()
        save(step, rank, net, optimizer)
        print(f"step {step}", flush=True)
        time.sleep(PAUSE)
    facts = {
        "rank": rank,
        "world": world,
        "local_rank": int(os.environ.get("LOCAL_RANK", "0")),
        "node": int(os.environ.get("GROUP_RANK", "0")),
        "parameters": torch.cat([p.detach().flatten() for p in net.parameters()]).tolist(),
    }
    print("RESULT " + json.dumps(facts), flush=True)
    if world > 1:
        dist.destroy_process_group()


main()
