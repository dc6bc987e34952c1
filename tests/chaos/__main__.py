"""`python -m tests.chaos --seed 7 --minutes 5 --jobs 50`: exit code 0 when everything came to its right end."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from tests.chaos.campaign import Course
from tests.chaos.run import run
from tests.cluster.tool.api import ToolError


def main() -> int:
    """Run one campaign and print what was done, what was found and, where that differs, the whole story."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="draws jobs and faults (random)")
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long faults are injected (5)")
    parser.add_argument("--jobs", type=int, default=50, help="how many jobs (50)")
    parser.add_argument("--together", type=int, default=10, help="jobs at the same time, at most (10)")
    parser.add_argument("--log", type=Path, help="file to keep the operator's log in")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        result = run(
            seed=options.seed,
            keep_log=options.log,
            course=Course(seconds=60 * options.minutes, jobs=options.jobs, together=options.together),
        )
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not result.verdict.good:
        print(result.details)
    print(f"\nseed {options.seed}\n{result.table}")
    for name, wrong in result.verdict.wrong.items():
        print(f"WRONG {name}: {'; '.join(wrong)}")
    print("everything came to its right end" if result.verdict.good else "NOT everything came to its right end")
    return 0 if result.verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
