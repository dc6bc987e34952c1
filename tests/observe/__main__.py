"""Command line: `python -m tests.observe [--seconds N] [--out FOLDER]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.cluster.kit.release import InstallError
from tests.cluster.tool.api import ToolError
from tests.demo.demo import DemoError
from tests.observe.observe import run


def main() -> int:
    """Run it; the exit code tells whether the run was seen in Prometheus, and drawn where there is a renderer."""
    parser = argparse.ArgumentParser(prog="python -m tests.observe", description=__doc__)
    parser.add_argument("--seconds", type=int, default=180, help="how long the example trains (default 180)")
    parser.add_argument("--out", type=Path, help="where pictures go (default: the cache)")
    arguments = parser.parse_args()
    try:
        run(seconds=arguments.seconds, out=arguments.out)
    except (ToolError, InstallError, DemoError) as error:
        print(f"\nThis did not work.\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was started stays: run it again, or `make cluster-down`.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
