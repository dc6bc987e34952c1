"""Reports ten steps a second. Its first run never ends, unless STEPS says after how many; each later one ends soon."""

import os
import time

from regatta_runtime import progress

first = (os.environ["REGATTA_ATTEMPT"], os.environ["REGATTA_GENERATION"]) == ("1", "1")
steps = float(os.environ.get("STEPS", "inf")) if first else float(os.environ.get("STEPS_LATER", "5"))
step = 0
while step < steps:
    time.sleep(0.1)
    step += 1
    progress.report(step=step)
print(f"done after step {step}", flush=True)
