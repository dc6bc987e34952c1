"""Reports five steps a second up to STEPS (STEPS_LATER in later attempts) and ends, at a step of its choice badly.

CHECKPOINTS=folder: a restarted process goes on after the last step that it finished. FAIL_AT=step and FAIL_WITH=code:
rank 0 ends there, every time it comes so far.
"""

import os
import time
from pathlib import Path

from regatta_runtime import progress

PAUSE = 0.2


def main() -> int:
    rank = int(os.environ.get("RANK", os.environ["REGATTA_WORKER"]))
    steps = int(os.environ["STEPS"])
    if os.environ["REGATTA_ATTEMPT"] != "1":
        steps = int(os.environ.get("STEPS_LATER", steps))
    folder = os.environ.get("CHECKPOINTS", "")
    memory = Path(folder) / f"step-of-{rank}" if folder else None
    done = int(memory.read_text()) if memory is not None and memory.exists() else 0
    print(f"starts after step {done}", flush=True)
    for step in range(done + 1, steps + 1):
        time.sleep(PAUSE)
        if rank == 0 and step == int(os.environ.get("FAIL_AT", "0")):
            print(f"fails at step {step}", flush=True)
            return int(os.environ["FAIL_WITH"])
        if memory is not None:
            part = memory.with_suffix(".part")
            part.write_text(str(step))
            part.rename(memory)  # a kill leaves either the whole file or none
        progress.report(step=step, total_steps=steps)
    print(f"done after step {steps}", flush=True)
    return 0


raise SystemExit(main())
