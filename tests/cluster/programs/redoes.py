"""A training loop that is killed and does steps again: it hangs after its first attempt's steps, until it is.

The second attempt goes on from a step that lies before, as after the newest checkpoint. It looks at a clock of its
own, prints what it saw, and knows nothing of being measured.
"""

import json
import os
import time

import torch

from regatta_runtime import progress

KILLED_AT, FROM, STEPS, WORK = 50, 25, 75, 0.3

first = os.environ["REGATTA_ATTEMPT"] == "1"
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
worked = redone = 0.0
begin = 0 if first else FROM
for step in range(begin + 1, (KILLED_AT if first else STEPS) + 1):
    before = time.perf_counter()
    time.sleep(WORK)
    loss = (model(torch.ones(4, 3)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    progress.report(step=step)
    spent = time.perf_counter() - before
    if step == begin + 1:
        continue  # everything before its end is the program's beginning
    if not first and step <= KILLED_AT:
        redone += spent
    else:
        worked += spent
told = {"worked": worked, "redone": redone, "known": os.environ.get("REGATTA_STEPS_DONE")}
print("RESULT", json.dumps(told), flush=True)
if first:
    time.sleep(3600)
