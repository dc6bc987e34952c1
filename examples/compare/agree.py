"""Compare the curves in the logs of jobs: `python agree.py LOG...` prints them side by side; 1 where they differ.

They are equal up to the rounding of float32, whose order of additions differs from framework to framework.
"""

import re
import sys

TOLERANCE = 1e-5  # of losses between 0.2 and 2


def curve(path):
    with open(path) as file:
        found = re.findall(r"epoch (\d+) loss (\d+\.\d+)", file.read())
    return [float(loss) for _, loss in found]


def main(paths):
    curves = {path: curve(path) for path in paths}
    lengths = {len(losses) for losses in curves.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise SystemExit("these logs hold curves of different lengths: " + ", ".join(map(str, sorted(lengths))))
    width = max(map(len, paths))
    for path, losses in curves.items():
        print(f"{path:{width}}", *(f"{loss:.6f}" for loss in losses))
    apart = max(max(losses) - min(losses) for losses in zip(*curves.values(), strict=True))
    print(f"at most {apart:.1e} apart, and {TOLERANCE:.0e} is allowed")
    return int(apart > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
