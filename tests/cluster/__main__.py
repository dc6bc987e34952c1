"""`python -m tests.cluster`: see `--help`."""

import sys

from tests.cluster.tool.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
