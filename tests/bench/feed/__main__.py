"""`make bench-feed`: images for each CPU second, the feed against the frameworks' own loaders, on the same CPU.

Rounds are interleaved, and each round's ratio is taken by itself, so what else runs on the machine meets all alike.
Exit code 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.feed.photographs import photographs

REPO: Final = Path(__file__).resolve().parents[3]
HERE: Final = Path(__file__).parent
SIZES: Final = {"500x375": (320, 500, 375, 2), "2000x1500": (64, 2000, 1500, 1)}
"""Photographs, their width and height, and epochs over them."""
GOALS: Final = {
    ("500x375", "train", "feed"): 1.7,
    ("2000x1500", "train", "feed"): 2.7,
    ("500x375", "train", "feed, later epochs"): 3.0,
}
"""Times the speed of the DataLoader; later epochs are those with cache: Decoded."""

OTHERS: Final = ("tf.data", "DALI", "FFCV")
"""Than which the feed must not be slower."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that prints how many images it has made and the CPU seconds of it."""

    name: str
    program: Path
    python: Path
    workers: int = 1
    fields: str = "{}"
    leaves_out: tuple[str, ...] = ()

    def run(self, root: Path, pipeline: str, epochs: int, cpu: int) -> float:
        """Images for each CPU second."""
        arguments = [root, pipeline, epochs, self.workers, self.fields]
        environment = {**os.environ, "PYTHONPATH": str(REPO / "runtime_images"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = ["taskset", "-c", str(cpu), str(self.python), str(self.program), *map(str, arguments)]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{self.name} failed:\n{done.stderr[-3000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        return float(found["images"] / found["cpu"])


def main() -> int:
    """Run all and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.feed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the processor that all run on")
    parser.add_argument("--torch", type=Path, help="Python with torch and torchvision (default: made in the cache)")
    parser.add_argument("--tensorflow", type=Path, help="Python with TensorFlow; without it tf.data is left out")
    parser.add_argument("--dali", type=Path, help="Python with nvidia-dali; without it DALI is left out")
    parser.add_argument("--ffcv", type=Path, help="Python with FFCV and torch; without it FFCV is left out")
    parser.add_argument(
        "--only", default="", metavar="SIZE,PIPELINE", help="one row of the table, such as 500x375,train"
    )
    options = parser.parse_args()
    cache = Path(os.environ.get("REGATTA_CACHE") or Path.home() / ".cache" / "regatta") / "bench-feed"
    torch = options.torch or torch_environment(cache / "torch")
    contestants = [
        Contestant("DataLoader, 1 worker", HERE / "of_torch.py", torch),
        Contestant("DataLoader, no worker", HERE / "of_torch.py", torch, workers=0),
        Contestant("feed", HERE / "of_regatta.py", Path(sys.executable)),
        Contestant("feed, later epochs", HERE / "of_regatta.py", Path(sys.executable), fields='{"cache": "Decoded"}'),
    ]
    if options.tensorflow:
        contestants.append(Contestant("tf.data", HERE / "of_tensorflow.py", options.tensorflow, leaves_out=("jitter",)))
    if options.dali:
        contestants.append(Contestant("DALI", HERE / "of_dali.py", options.dali, leaves_out=("jitter",)))
    if options.ffcv:
        contestants.append(Contestant("FFCV", HERE / "of_ffcv.py", options.ffcv, leaves_out=("jitter",)))
    missed = []
    for size, (count, width, height, epochs) in SIZES.items():
        root = photographs(cache / size, count=count, width=width, height=height)
        for pipeline in ("train", "jitter", "eval"):
            if options.only not in ("", f"{size},{pipeline}"):
                continue
            taking = [each for each in contestants if pipeline not in each.leaves_out]
            speeds: dict[str, list[float]] = {each.name: [] for each in taking}
            for _ in range(options.rounds):
                for each in taking:
                    speeds[each.name].append(each.run(root, pipeline, epochs, options.cpu))
            best = [max(pair) for pair in zip(speeds[taking[0].name], speeds[taking[1].name], strict=True)]
            print(f"\n{size}, {pipeline}: images for each CPU second, median of {options.rounds} rounds", flush=True)
            for name, found in speeds.items():
                ratios = [one / other for one, other in zip(found, best, strict=True)]
                print(
                    f"  {name:<24}{statistics.median(found):>7.0f}   {statistics.median(ratios):.2f} times the better "
                    f"DataLoader [{min(ratios):.2f} to {max(ratios):.2f}]",
                    flush=True,
                )
                if name in OTHERS and statistics.median(found) > statistics.median(speeds["feed"]):
                    missed.append(f"missed: {size}, {pipeline}: {name} is faster than the feed")
                goal = GOALS.get((size, pipeline, name))
                if goal and statistics.median(ratios) < goal:
                    missed.append(f"missed: {size}, {pipeline}, {name}: {statistics.median(ratios):.2f} < {goal}")
    for words in missed:
        print(words, file=sys.stderr)
    return 1 if missed else 0


def torch_environment(folder: Path) -> Path:
    """A Python with torch for CPUs, made once from the pins of the PyTorch image."""
    python = folder / "bin" / "python"
    done = folder / ".done"
    if not done.exists():
        print(f"making an environment with torch in {folder}", flush=True)
        image = REPO / "runtime_images" / "pytorch"
        run = lambda *command: subprocess.run([str(each) for each in command], check=True)  # noqa: E731
        run(sys.executable, "-m", "venv", "--clear", folder)
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", image / "requirements-stubs.txt")
        (site,) = folder.glob("lib/python3*/site-packages")
        run(sys.executable, image / "cpu_stubs.py", site)
        done.touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
