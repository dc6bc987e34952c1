"""An ordinary training loop whose times are known: it sleeps in its dataset, in its steps, and while it saves.

Looks at a clock of its own and prints what it saw; knows nothing of being measured.
"""

import json
import os
import time

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

STEPS, BATCH = int(os.environ["STEPS"]), 4
FETCH, WORK, SAVE = 0.09, 0.21, float(os.environ.get("SAVE", "0.5"))


class Slow(Dataset):
    def __len__(self):
        return STEPS * BATCH

    def __getitem__(self, index):
        time.sleep(FETCH / BATCH)
        return torch.ones(3), torch.ones(1)


class SlowToSave(dict):
    def __reduce__(self):
        time.sleep(SAVE)
        return (dict, ())


def main():
    dist.init_process_group("gloo")
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    waited = worked = saved = 0.0
    began = time.perf_counter()
    batches = iter(DataLoader(Slow(), batch_size=BATCH))
    for step in range(STEPS):
        before = time.perf_counter()
        images, labels = next(batches)
        fetched = time.perf_counter()
        time.sleep(WORK)
        loss = ((model(images) - labels) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        stepped = time.perf_counter()
        if step:  # the first one is for the compiler
            waited += fetched - before
            worked += stepped - fetched
        else:
            first_wait, first_step = fetched - began, stepped - fetched
        if step == STEPS // 2:
            torch.save(SlowToSave(), f"/tmp/checkpoint-{dist.get_rank()}.pt")
            saved = time.perf_counter() - stepped
    firsts = {"first_wait": first_wait, "first_step": first_step}
    told = {"rank": dist.get_rank(), "waited": waited, "worked": worked, "saved": saved, **firsts}
    print("RESULT", json.dumps(told), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
