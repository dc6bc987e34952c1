"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# On a build machine every run hunts on the same paths: a red build is a change's fault, never a lucky draw's.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
