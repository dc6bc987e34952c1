"""The short form of `make chaos`: eight jobs, a minute of faults, one node lost."""

from __future__ import annotations

import os
import random

import pytest

from tests.chaos.campaign import Course
from tests.chaos.run import run
from tests.cluster.tool import external

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(external.chosen() is not None, reason="a user's own cluster is never ours to break"),
]


def test_whatever_breaks_every_job_comes_to_its_right_end_and_every_fault_is_in_its_books() -> None:
    seed = 5 if os.environ.get("CI") else random.randrange(2**32)
    print(f"seed {seed}", flush=True)

    result = run(seed=seed, course=Course(seconds=60, jobs=8, together=6))

    print(result.table)
    assert result.verdict.good, f"seed {seed}\n{result.details}\n{result.verdict.wrong}"
