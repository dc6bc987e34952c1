"""A training that was restored knows at which step it is, however its library restores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.environments import PYTORCH, TENSORFLOW, Environment
from tests.frameworks.running import run

TORCH: dict[str, Any] = {"framework": "Keras", "REGATTA_KERAS_BACKEND": "torch", "KERAS_BACKEND": "torch"}
KERAS: dict[str, Any] = {"framework": "Keras", "REGATTA_KERAS_BACKEND": "tensorflow"}


@pytest.mark.parametrize(
    ("environment", "program", "options", "before", "after"),
    [
        pytest.param(PYTORCH, "lightning_fit.py", {}, 10, 10, id="Lightning"),
        pytest.param(PYTORCH, "transformers_trainer.py", {}, 10, 10, id="Hugging Face Trainer"),
        pytest.param(PYTORCH, "keras_fit.py", {**TORCH, "RESTORES": "model"}, 15, 15, id="Keras on torch, model"),
        pytest.param(TENSORFLOW, "keras_fit.py", {**KERAS, "RESTORES": "model"}, 15, 15, id="Keras, model"),
        pytest.param(TENSORFLOW, "keras_fit.py", {**KERAS, "RESTORES": "weights"}, 15, 15, id="Keras, initial_epoch"),
        pytest.param(TENSORFLOW, "keras_fit.py", {**KERAS, "RESTORES": "backup"}, 15, 15, id="Keras, BackupAndRestore"),
        pytest.param(TENSORFLOW, "tensorflow_loop.py", {"framework": "TensorFlow"}, 30, 30, id="TensorFlow"),
    ],
)
def test_a_restored_training_counts_on_and_knows_what_it_does_again(
    environment: Environment, program: str, options: dict[str, Any], before: int, after: int, tmp_path: Path
) -> None:
    first = run(environment, program, tmp_path, EPOCHS="1", **options)
    assert first.exit_codes == [0], first.output
    assert first.reading().global_step == before

    told = run(environment, program, tmp_path, EPOCHS="2", steps_done=before + 3, **options)
    assert told.exit_codes == [0], told.output
    reading = told.reading()
    assert (reading.steps, reading.lost, reading.global_step) == (after, 3, before + after)
    assert reading.seconds["rework"] > 0.0
    assert reading.seconds.get("checkpoint_restore", 0.0) > 0.0
