"""Reads batches of the feed, writes down which it has seen, and goes on after a restart with those it has not."""

import json
import os
import time

from regatta_runtime import data

folder, rank = os.environ["REGATTA_CHECKPOINT_DIR"], os.environ["RANK"]
state = os.path.join(folder, f"state-{rank}.json")
pause = float(os.environ.get("PAUSE", "0"))
keeps = int(os.environ.get("KEEPS", "0"))
stops_at = int(os.environ.get("STOPS_AT", "-1"))

batches = data.numpy_batches()
if os.path.exists(state):
    with open(state) as file:
        batches.load_state_dict(json.load(file))
print(f"begins at {batches.state_dict()}", flush=True)
kept = []
count = 0
while batches.epoch < batches.epochs:
    now = batches.state_dict()
    for images, labels in batches:
        with open(os.path.join(folder, f"seen-{rank}.txt"), "a") as file:
            file.write(json.dumps({**now, "labels": labels.tolist()}) + "\n")
        now = batches.state_dict()
        with open(state + ".new", "w") as file:
            json.dump(now, file)
        os.replace(state + ".new", state)
        count += 1
        print(f"step {count}", flush=True)
        if keeps:
            kept.append(images)
        while count == stops_at and not os.path.exists(os.path.join(folder, "go")):
            time.sleep(0.1)
        time.sleep(pause)
print("done", flush=True)
