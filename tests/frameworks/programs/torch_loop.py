"""A plain PyTorch loop that looks at a clock of its own: how long it fetches, works, saves and does steps again.

KILL_AT: its first process dies by a signal after that step. HOLD: it stays, so that its launcher can be asked.
"""

import json
import os
import signal
import time

import torch
from torch.utils.data import DataLoader, Dataset

STEPS, BATCH = int(os.environ.get("STEPS", "30")), 8
FETCH, WORK, SAVE = (float(os.environ.get(name, "0")) for name in ("FETCH", "WORK", "SAVE"))
OPTIMIZER = os.environ.get("OPTIMIZER", "SGD")
KILL_AT, FIRST = int(os.environ.get("KILL_AT", "0")), os.environ["REGATTA_GENERATION"] == "1"
CHECKPOINT = "checkpoint.pt"


class Slow(Dataset):
    def __len__(self):
        return STEPS * BATCH

    def __getitem__(self, index):
        time.sleep(FETCH / BATCH)
        return torch.ones(3), torch.ones(1)


class SlowToSave(dict):
    def __reduce__(self):
        time.sleep(SAVE)
        return (dict, (), None, None, iter(self.items()))


def main():
    model = torch.nn.Linear(3, 1)
    optimizer = getattr(torch.optim, OPTIMIZER)(model.parameters(), lr=0.01)
    done = 0
    if os.path.exists(CHECKPOINT):
        found = torch.load(CHECKPOINT, weights_only=False)
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
        done = found["done"]
    if "SAMPLES" in os.environ:
        from regatta_runtime import samples

        samples.per_step(int(os.environ["SAMPLES"]))
    waited = worked = saved = redone = 0.0
    saves = int(os.environ.get("SAVE_EVERY", "0"))
    batches = iter(DataLoader(Slow(), batch_size=BATCH))
    for step in range(done, STEPS):
        began = time.perf_counter()
        images, labels = next(batches)
        fetched = time.perf_counter()
        time.sleep(WORK)
        loss = ((model(images) - labels) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        stepped = time.perf_counter()
        if step > done:  # the first one is for the compiler
            waited += fetched - began
            worked += stepped - fetched
            redone += (stepped - fetched) if step < KILL_AT else 0.0
        if saves and (step + 1) % saves == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": step + 1}
            torch.save(SlowToSave(state), CHECKPOINT)
            saved += time.perf_counter() - stepped
        if FIRST and step + 1 == KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)
    facts = {"waited": waited, "worked": worked, "saved": saved, "redone": redone, "began": done}
    print("RESULT", json.dumps(facts), flush=True)
    if "HOLD" in os.environ:
        signal.pause()


if __name__ == "__main__":
    main()
