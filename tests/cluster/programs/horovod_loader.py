"""A plain Horovod loop over a DataLoader that takes its time, and a clock of its own; no word of Regatta."""

import json
import time

import horovod.torch as hvd
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

FETCH, WORK = 0.06, 0.14
BATCH, BATCHES = 4, 40


class Slow(Dataset):
    def __len__(self):
        return hvd.size() * BATCH * BATCHES

    def __getitem__(self, index):
        time.sleep(FETCH / BATCH)
        return torch.ones(3), torch.ones(1)


hvd.init()
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters())
hvd.broadcast_parameters(model.state_dict(), root_rank=0)
hvd.broadcast_optimizer_state(optimizer, root_rank=0)
data = Slow()
batches = iter(DataLoader(data, batch_size=BATCH, sampler=DistributedSampler(data, hvd.size(), hvd.rank())))
waited = worked = 0.0
for step in range(BATCHES):
    began = time.perf_counter()
    images, labels = next(batches)
    fetched = time.perf_counter()
    time.sleep(WORK)
    optimizer.zero_grad()
    ((model(images) - labels) ** 2).mean().backward()
    optimizer.step()
    if step:  # the first one is for the compiler
        waited += fetched - began
        worked += time.perf_counter() - fetched
print("RESULT", json.dumps({"rank": hvd.rank(), "waited": waited, "worked": worked}), flush=True)
