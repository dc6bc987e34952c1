"""The loop that `overhead.py` runs; prints a step's median duration and the mean CPU time of what is no waiting."""

import json
import os
import statistics
import time

import torch
from torch.utils.data import DataLoader, TensorDataset

STEPS, WAIT = int(os.environ["STEPS"]), 0.005


def main():
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
    optimizer = torch.optim.Adam(model.parameters())
    data = TensorDataset(torch.ones((STEPS + 50) * 8, 64), torch.ones((STEPS + 50) * 8, 8))
    times, cpu, step, at = [], [], 0, time.perf_counter()
    batches = iter(DataLoader(data, batch_size=8))
    for _ in range(STEPS + 50):
        used = time.process_time()
        images, labels = next(batches)
        loss = ((model(images) - labels) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        used = time.process_time() - used
        until = time.perf_counter() + WAIT
        while time.perf_counter() < until:
            pass
        now = time.perf_counter()
        times.append(now - at)
        cpu.append(used)
        at, step = now, step + 1
    print(json.dumps({"step": statistics.median(times[50:]), "cpu": statistics.fmean(cpu[50:])}))


if __name__ == "__main__":
    main()
