"""What measuring costs a PyTorch loop of 5 ms steps: the same program with and without, in turns.

A step waits 5 ms as for an accelerator (it looks at the clock until then), fetches a batch from a DataLoader, and
computes a small model's gradients and Adam's update. What the instruments do comes on top of that. The
goal is for the CPU time that they add, which a busy machine hardly changes; by the clock, its other work is in it too.
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
STEPS: Final = 1000
GOAL: Final = 1.01
PROGRAM: Final = Path(__file__).parent / "overhead_loop.py"


def measure(*, rounds: int) -> list[Result]:
    """Run both in turns, each first in every second round; a round's ratio is taken by itself."""
    python = PYTORCH.python()
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        install(folder)
        for turn in range(rounds):
            for on in (True, False) if turn % 2 else (False, True):
                found[on].append(_run(python, folder, on=on))
    pairs = list(zip(found[True], found[False], strict=True))
    wall = [w["step"] / wo["step"] for w, wo in pairs]
    added = [w["cpu"] - wo["cpu"] for w, wo in pairs]
    with_, without = (statistics.median(run["step"] for run in found[on]) for on in (True, False))
    return [
        Result(
            what="a 5 ms step with the CPU of measuring it",
            value=f"{(STEP + statistics.median(added)) * 1e3:.3f} ms",
            against=f"{STEP * 1e3:.3f} ms",
            ratio=1.0 + statistics.median(added) / STEP,
            goal=GOAL,
        ),
        Result(
            what=f"  by the clock ({min(wall):.3f} to {max(wall):.3f})",
            value=f"{with_ * 1e3:.3f} ms",
            against=f"{without * 1e3:.3f} ms",
            ratio=statistics.median(wall),
        ),
    ]


def _run(python: Path, folder: str, *, on: bool) -> dict[str, float]:
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
            "REGATTA_MEASURE": "1" if on else "0",
            "RANK": "0",
            "STEPS": str(STEPS),
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
