"""The runtime image's /__main__.py, so that `python /regatta -- COMMAND` starts the launcher."""

import os
import sys

# PYTHONPATH is for the user's program: a file there called like a standard module must not reach the launcher.
_theirs = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
sys.path[1:] = [p for p in sys.path[1:] if p not in _theirs]

import regatta_runtime.early  # noqa: E402, F401, I001  first, so that no signal is lost while the rest is loaded

from regatta_runtime.launch import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
