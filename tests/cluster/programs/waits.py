"""Runs until it is told to stop; STUBBORN=1 does not listen to SIGTERM."""

import os
import signal
import time

if os.environ.get("STUBBORN") == "1":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("waits", flush=True)
while True:
    time.sleep(1)
