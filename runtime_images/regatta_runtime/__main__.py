"""`python -m regatta_runtime -- COMMAND`: start the launcher."""

import regatta_runtime.early  # noqa: F401, I001  first, so that no signal is lost while the rest is loaded

import sys

from regatta_runtime.launch import main

sys.exit(main(sys.argv[1:]))
