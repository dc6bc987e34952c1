"""What measuring costs a PyTorch loop of 5 ms steps, with and without in turns: blocks of steps in one process.

A step waits 5 ms as for an accelerator (it looks at the clock until then), fetches a batch from a DataLoader, and
computes a small model's gradients and Adam's update. Where measuring is off, all that is left of it is a look at a
flag. The goal is for the CPU time that measuring adds, messages to the launcher included; by the clock, what else runs
on the machine is in it too.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Final

from regatta_runtime.install import install
from tests.bench.report import Result
from tests.frameworks.environments import PYTORCH

__all__ = ["measure"]

STEP: Final = 0.005
GOAL: Final = 1.01
PROGRAM: Final = Path(__file__).parent / "overhead_loop.py"


def measure(*, rounds: int) -> list[Result]:
    """Run the loop so often; the medians of all runs."""
    python = PYTORCH.python()
    with tempfile.TemporaryDirectory() as folder:
        install(folder)
        found = [_run(python, folder) for _ in range(rounds)]
    added, on, off = (statistics.median(run[name] for run in found) for name in ("added", "on", "off"))
    costs = [run["added"] * 1e6 for run in found]
    return [
        Result(
            what="a 5 ms step with the CPU of measuring it",
            value=f"{(STEP + added) * 1e3:.3f} ms",
            against=f"{STEP * 1e3:.3f} ms",
            ratio=1.0 + added / STEP,
            goal=GOAL,
        ),
        Result(
            what=f"  {added * 1e6:.1f} us ({min(costs):.1f} to {max(costs):.1f}); by the clock",
            value=f"{on * 1e3:.3f} ms",
            against=f"{off * 1e3:.3f} ms",
            ratio=on / off,
        ),
    ]


def _run(python: Path, folder: str) -> dict[str, float]:
    name = f"regatta-bench-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(0.1)
        ended = threading.Event()
        reader = threading.Thread(target=_drain, args=(sock, ended))
        reader.start()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder}/regatta_runtime/hooks/site:{folder}",
            "REGATTA_FRAMEWORK": "PyTorch",
            "REGATTA_GENERATION": "1",
            "REGATTA_PROGRESS": name,
            "RANK": "0",
        }
        done = subprocess.run(
            [python, PROGRAM], env=environment, check=False, capture_output=True, text=True, timeout=300
        )
        ended.set()
        reader.join()
    if done.returncode != 0 or "measures no more" in done.stderr:
        raise SystemExit(f"the loop failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _drain(sock: socket.socket, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            sock.recv(65536)
        except TimeoutError:
            continue
