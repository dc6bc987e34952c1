"""The loop that `overhead.py` runs: measured in every second block of steps, by turns the first and second of a pair.

Prints the CPU time that measuring adds to a step, the median over all pairs, and a step's median duration in both.
"""

import json
import statistics
import time

import torch
from torch.utils.data import DataLoader, TensorDataset

from regatta_runtime.measure import meter

WAIT, BLOCK, PAIRS, UNTIMED = 0.005, 50, 20, 50


def main():
    torch.set_num_threads(1)
    measuring = meter.the_one()
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
    optimizer = torch.optim.Adam(model.parameters())
    steps = UNTIMED + 2 * PAIRS * BLOCK
    batches = iter(DataLoader(TensorDataset(torch.ones(steps * 8, 64), torch.ones(steps * 8, 8)), batch_size=8))

    def block(size):
        used, times = 0.0, []
        for _ in range(size):
            began, cpu = time.perf_counter(), time.process_time()
            images, labels = next(batches)
            loss = ((model(images) - labels) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            used += time.process_time() - cpu
            until = time.perf_counter() + WAIT
            while time.perf_counter() < until:
                pass
            times.append(time.perf_counter() - began)
        return used / size, times

    block(UNTIMED)
    added, times = [], {True: [], False: []}
    for pair in range(PAIRS):
        cpu = {}
        for on in (True, False) if pair % 2 else (False, True):
            measuring.on = on
            cpu[on], took = block(BLOCK)
            times[on] += took
        added.append(cpu[True] - cpu[False])
    measuring.on = True
    both = {"on": statistics.median(times[True]), "off": statistics.median(times[False])}
    print(json.dumps({"added": statistics.median(added), **both}))


if __name__ == "__main__":
    main()
