"""Prometheus' text of what was measured: whole families, cumulative buckets, and nothing that is not known."""

from __future__ import annotations

import re

from regatta_runtime.measure.exposition import of_processes, of_the_training
from regatta_runtime.measure.readings import About, Histogram, Reading

FULL = Reading(
    steps=4,
    samples=32,
    seconds={"init": 2.0, "step": 1.25},
    lost=1,
    durations={"step": Histogram(1.25, (0, 0, 1, 0, 0, 2, *[0] * 5, 0)), "checkpoint_save": Histogram(9.5, (0,) * 12)},
    global_step=104,
    stepped_at=1795735451.175,
    saved_at=1795735400.0,
    saved_bytes=3207,
)
ABOUT = About("2.15.0", "ddp", "mixed_bfloat16")


def samples(lines: list[str]) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_rank_0_tells_of_the_whole_training() -> None:
    told = samples(of_the_training(FULL, ABOUT, "PyTorch"))
    labels = 'framework="PyTorch",framework_version="2.15.0",strategy="ddp",precision="mixed_bfloat16"'
    assert told[f"regatta_runtime_info{{{labels}}}"] == "1"
    assert told["regatta_runtime_global_step"] == "104"
    assert told["regatta_runtime_lost_steps_total"] == "1"
    assert told["regatta_runtime_checkpoint_last_success_timestamp_seconds"] == "1795735400"
    assert told["regatta_runtime_checkpoint_size_bytes"] == "3207"


def test_buckets_hold_what_took_no_longer() -> None:
    told = samples(of_the_training(FULL, ABOUT, "PyTorch"))
    buckets = [value for name, value in told.items() if name.startswith("regatta_runtime_step_duration_seconds_bucket")]
    assert buckets == ["0", "0", "1", "1", "1", "3", "3", "3", "3", "3", "3", "3"]
    assert told['regatta_runtime_step_duration_seconds_bucket{le="+Inf"}'] == "3"
    assert told["regatta_runtime_step_duration_seconds_sum"] == "1.25"
    assert told['regatta_runtime_checkpoint_duration_seconds_count{operation="save"}'] == "0"


def test_what_is_not_known_is_not_told() -> None:
    bare = Reading(1, 0, {"init": 1.0})
    assert samples(of_the_training(bare, None, "PyTorch")) == {"regatta_runtime_lost_steps_total": "0"}
    assert of_the_training(None, ABOUT, "PyTorch") == []
    assert of_processes({}) == []


def test_each_metric_has_one_help_and_one_type_before_all_of_its_samples() -> None:
    lines = [*of_processes({0: FULL, 3: FULL}), *of_the_training(FULL, ABOUT, "Keras")]
    seen: list[str] = []
    for line in lines:
        name = re.sub(
            r"_(bucket|sum|count)$", "", re.split(r"[ {]", line.removeprefix("# HELP ").removeprefix("# TYPE "))[0]
        )
        if not seen or seen[-1] != name:
            assert line.startswith(f"# HELP {name} ")
            seen.append(name)
    assert len(seen) == len(set(seen))
    assert sum(line.startswith("# TYPE") for line in lines) == len(seen)
