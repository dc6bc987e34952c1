"""Worker 0 ends with an error, the others run on and do not listen: what a clean-up may or may not touch."""

import os
import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.environ["RANK"] == "0":
    time.sleep(1)
    raise SystemExit(3)
while True:
    time.sleep(1)
