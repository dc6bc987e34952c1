"""Defaults and derived numbers of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from regatta.api.spec import Framework, TrainingJobSpec


def spec(**fields: Any) -> TrainingJobSpec:
    return TrainingJobSpec.from_api({"framework": "PyTorch", "command": ["python"], **fields})


@pytest.mark.parametrize(
    ("fields", "processes"),
    [
        ({"framework": "PyTorch"}, 1),
        ({"framework": "PyTorch", "gpusPerWorker": 8}, 8),
        ({"framework": "Horovod", "gpusPerWorker": 8}, 8),
        ({"framework": "TensorFlow", "gpusPerWorker": 8}, 1),
        ({"framework": "Keras", "kerasBackend": "torch", "gpusPerWorker": 8}, 8),
        ({"framework": "Keras", "kerasBackend": "tensorflow", "gpusPerWorker": 8}, 1),
        ({"framework": "Custom", "gpusPerWorker": 8}, 1),
        ({"framework": "Custom", "processesPerWorker": 3}, 3),
        ({"framework": "PyTorch", "gpusPerWorker": 8, "processesPerWorker": 2}, 2),
    ],
    ids=str,
)
def test_processes_follow_the_gpus_where_the_framework_wants_one_each(fields: dict[str, Any], processes: int) -> None:
    assert spec(**fields).processes == processes


def test_the_world_is_all_processes_of_all_workers() -> None:
    assert spec(workers=4, processesPerWorker=2).world_size == 8


def test_defaults_are_those_of_the_contract() -> None:
    bare = spec()

    assert (bare.framework, bare.workers, bare.gpus_per_worker) == (Framework.PYTORCH, 1, 0)
    assert (bare.gpu_resource, bare.cleanup, bare.runtime) == ("nvidia.com/gpu", "Running", "Auto")
    assert bare.restart.max_restarts == 3
    assert (bare.deadlines.queued, bare.deadlines.starting) == (None, 1800)
    assert bare.scheduling.gang == "Auto"


def test_null_switches_a_deadline_off_and_is_the_default_elsewhere() -> None:
    given = spec(deadlines={"starting": None}, env=None, workers=None, scheduling=None)

    assert given.deadlines.starting is None
    assert (given.env, given.workers, given.scheduling.gang) == ([], 1, "Auto")


def test_names_of_python_are_not_names_of_the_api() -> None:
    with pytest.raises(ValidationError, match="gpus_per_worker"):
        spec(gpus_per_worker=1)


def test_a_round_trip_says_what_was_said_and_no_more() -> None:
    raw = {"framework": "PyTorch", "command": ["python"], "deadlines": {"queued": None}, "env": [{"name": "A"}]}

    assert TrainingJobSpec.from_api(raw).to_api() == raw
