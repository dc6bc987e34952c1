"""A plain Horovod script in PyTorch, as Horovod's own guide writes it; no word of Regatta.

The same seed gives the same parameters however many processes share the work, up to rounding. Each process keeps its
newest checkpoints, if told where, and goes on from the newest that all have.
"""

import json
import os
import time
from pathlib import Path

import horovod.torch as hvd
import torch
from torch import nn

STEPS = int(os.environ["STEPS"])
PAUSE = float(os.environ.get("STEP_PAUSE", "0"))
BATCH = 64
FOLDER = os.environ.get("REGATTA_CHECKPOINT_DIR", "")

hvd.init()
rank, size = hvd.rank(), hvd.size()
torch.set_num_threads(1)
torch.manual_seed(7 + rank)  # different on purpose: what rank 0 has is broadcast
model = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
# Before its state is loaded: wrapping makes a new optimizer, without one.
optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters())


def checkpoint(step):
    return Path(FOLDER) / f"rank{rank}-step{step}.pt"


def newest():
    """The newest step whose state every process has."""
    found = [int(file.stem.split("step")[1]) for file in Path(FOLDER).glob(f"rank{rank}-step*.pt")] if FOLDER else []
    return int(hvd.allreduce(torch.tensor(max(found, default=0)), op=hvd.Min))


start = newest()
if start:
    state = torch.load(checkpoint(start))
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
hvd.broadcast_parameters(model.state_dict(), root_rank=0)
hvd.broadcast_optimizer_state(optimizer, root_rank=0)
print(f"starts after step {start}", flush=True)

for step in range(start + 1, STEPS + 1):
    batch = torch.randn(BATCH, 16, generator=torch.Generator().manual_seed(step))
    target = torch.sin(batch.sum(dim=1, keepdim=True))
    mine = slice(rank, BATCH, size)
    optimizer.zero_grad()
    nn.functional.mse_loss(model(batch[mine]), target[mine]).backward()
    optimizer.step()
    if FOLDER:
        part = Path(FOLDER) / f".rank{rank}.part"
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, part)
        part.rename(checkpoint(step))  # a kill leaves either the whole file or none
        if step > 3:
            checkpoint(step - 3).unlink(missing_ok=True)
    print(f"step {step}", flush=True)
    time.sleep(PAUSE)

facts = {
    "rank": rank,
    "size": size,
    "local": [hvd.local_rank(), hvd.local_size()],
    "cross": [hvd.cross_rank(), hvd.cross_size()],
    "sum": float(hvd.allreduce(torch.tensor(float(rank + 1)), op=hvd.Sum)),
    "ranks": hvd.allgather(torch.tensor([rank])).tolist(),
    "parameters": torch.cat([p.detach().flatten() for p in model.parameters()]).tolist(),
}
print("RESULT " + json.dumps(facts), flush=True)
