"""Trains with a checkpoint every few steps, is killed once, goes on, and knows how long it did steps again.

Looks at a clock of its own and stays for a while when it is done; knows nothing of being measured.
"""

import json
import os
import signal
import time

import torch

STEPS, KILLED_AFTER, SAVE_EVERY, WORK = 30, 20, 8, 0.15
CHECKPOINT = os.path.join(os.environ["REGATTA_CHECKPOINT_DIR"], "checkpoint.pt")


def main():
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.Adam(model.parameters())
    done = 0
    if os.path.exists(CHECKPOINT):
        found = torch.load(CHECKPOINT)
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
        done = found["done"]
    again, at = 0.0, None
    for step in range(done + 1, STEPS + 1):
        time.sleep(WORK)
        optimizer.zero_grad()
        model(torch.ones(4, 3)).mean().backward()
        optimizer.step()
        now = time.perf_counter()
        again += now - at if done and at is not None and step <= KILLED_AFTER else 0.0
        at = now
        if step % SAVE_EVERY == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": step}, CHECKPOINT)
            at = time.perf_counter()
        if not done and step == KILLED_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)
    print("RESULT", json.dumps({"began": done, "again": again}), flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
