"""`python -m regatta_feed`: run a pipeline for the training processes of this machine."""

from __future__ import annotations

import sys

from regatta_feed.command import main

sys.exit(main())
