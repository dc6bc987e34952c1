"""`python -m regatta_feed`: run a pipeline for the training processes of this machine."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the feed's processes are its parallelism

from regatta_feed.command import main

sys.exit(main())
