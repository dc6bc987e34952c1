"""Plain programs of every framework show their steps, their samples and their waits, without a changed line."""

from __future__ import annotations

from pathlib import Path

import pytest

from regatta_runtime.measure.readings import About
from tests.frameworks.environments import PYTORCH, TENSORFLOW, Environment
from tests.frameworks.running import run
from tests.unit.feed.feeds import Feed

KERAS = {"framework": "Keras"}


@pytest.mark.parametrize(
    ("environment", "program", "options", "steps", "waits", "also"),
    [
        pytest.param(
            *(PYTORCH, "torch_loop.py", {"FETCH": "0.02", "SAVE_EVERY": "10"}, 30, 0.58, ["checkpoint_save"]),
            id="PyTorch",
        ),
        pytest.param(
            *(PYTORCH, "lightning_fit.py", {}, 20, 0.32, ["checkpoint_save", "eval"]),
            id="Lightning",
        ),
        pytest.param(
            *(PYTORCH, "transformers_trainer.py", {}, 20, 0.32, ["checkpoint_save", "eval"]),
            id="Hugging Face Trainer",
        ),
        pytest.param(
            *(PYTORCH, "keras_fit.py", {**KERAS, "REGATTA_KERAS_BACKEND": "torch", "KERAS_BACKEND": "torch"}),
            *(30, 0.58, ["checkpoint_save", "eval"]),
            id="Keras on torch",
        ),
        pytest.param(
            *(TENSORFLOW, "keras_fit.py", {**KERAS, "REGATTA_KERAS_BACKEND": "tensorflow"}),
            *(30, 0.1, ["checkpoint_save", "eval"]),
            id="Keras on TensorFlow",
        ),
        pytest.param(
            *(TENSORFLOW, "tensorflow_loop.py", {"framework": "TensorFlow"}, 30, 0.3, ["checkpoint_save"]),
            id="TensorFlow, compiled step",
        ),
        pytest.param(
            *(TENSORFLOW, "tensorflow_loop.py", {"framework": "TensorFlow", "LOOP": "eager"}),
            *(30, 0.3, ["checkpoint_save"]),
            id="TensorFlow, eager",
        ),
    ],
)
def test_a_plain_program_shows_steps_samples_and_waits(
    environment: Environment,
    program: str,
    options: dict[str, str],
    steps: int,
    waits: float,
    also: list[str],
    tmp_path: Path,
) -> None:
    told = run(environment, program, tmp_path, **options)  # type: ignore[arg-type]
    assert told.exit_codes == [0], told.output
    reading = told.reading()
    assert (reading.steps, reading.samples) == (steps, 8 * steps)
    assert reading.global_step == steps
    assert told.of("data_wait") >= waits
    assert all(reading.seconds[state] > 0.0 for state in ["init", "compile", "step", *also])
    assert reading.saved_at is not None
    assert told.ledger.about is not None
    assert told.ledger.about.version
    pace = told.ledger.pace()
    assert pace is not None
    assert pace.data_stall_fraction is not None


def test_a_compiled_function_that_loops_over_batches_makes_as_many_steps_as_its_optimizer_says(tmp_path: Path) -> None:
    told = run(TENSORFLOW, "tensorflow_loop.py", tmp_path, framework="TensorFlow", LOOP="inside")
    assert told.reading().steps == 30
    assert "data_wait" not in told.reading().seconds  # nobody sees it there, so nothing is said of it
    pace = told.ledger.pace()
    assert pace is not None
    assert pace.data_stall_fraction is None


def test_batches_of_the_feed_are_seen(tmp_path: Path) -> None:
    with Feed(tmp_path, epochs=1) as feed:
        told = run(PYTORCH, "torch_feed.py", tmp_path, REGATTA_FEED=feed.folder)
    assert told.exit_codes == [0], told.output
    assert (told.reading().steps, told.reading().samples) == (10, 40)
    assert told.of("data_wait") > 0


def test_being_measured_changes_no_bit_of_what_keras_computes(tmp_path: Path) -> None:
    options = {"framework": "Keras", "REGATTA_KERAS_BACKEND": "tensorflow", "FETCH": "0"}
    measured = run(TENSORFLOW, "keras_fit.py", tmp_path, **options)  # type: ignore[arg-type]
    alone = run(TENSORFLOW, "keras_fit.py", tmp_path, REGATTA_MEASURE="0", **options)  # type: ignore[arg-type]
    assert measured.results == alone.results
    assert alone.ledger.total() == {}


def test_what_trains_is_told_in_words_of_closed_sets(tmp_path: Path) -> None:
    told = run(PYTORCH, "torch_loop.py", tmp_path, STEPS="3")
    assert told.ledger.about == About(version="2.15.0", strategy="single", precision="float32")


@pytest.mark.parametrize("variable", ["REGATTA_SAMPLES_PER_STEP", "SAMPLES"])
def test_a_program_is_believed_about_its_samples(variable: str, tmp_path: Path) -> None:
    told = run(PYTORCH, "torch_loop.py", tmp_path, STEPS="5", **{variable: "64"})  # type: ignore[arg-type]
    assert (told.reading().steps, told.reading().samples) == (5, 5 * 64)
