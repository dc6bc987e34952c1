"""Command line of the demo: `python -m tests.demo [--context NAME]`."""

from __future__ import annotations

import argparse
import sys

from tests.cluster.kit.release import InstallError
from tests.cluster.tool.api import ToolError
from tests.demo.demo import DemoError, run


def main() -> int:
    """Run the demo; the exit code tells whether the example succeeded."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--context", help="use this context of your kubeconfig instead of a cluster of its own")
    arguments = parser.parse_args()
    try:
        run(context=arguments.context)
    except (ToolError, InstallError, DemoError) as error:
        print(f"\nThe demo failed.\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was started stays: run it again, or `make cluster-down`.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
