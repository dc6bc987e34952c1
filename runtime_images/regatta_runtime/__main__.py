"""`python -m regatta_runtime -- COMMAND`: start the launcher."""

import sys

from regatta_runtime.launch import main

sys.exit(main(sys.argv[1:]))
