"""A hook that meets a library which has changed ends the measuring, says so once, and the program trains on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frameworks.environments import PYTORCH, TENSORFLOW, Environment
from tests.frameworks.running import run

SAID = "measures no more in this process"


@pytest.mark.parametrize(
    ("environment", "program", "framework", "what"),
    [
        pytest.param(PYTORCH, "torch_loop.py", "PyTorch", "meter.Meter.step", id="a step"),
        pytest.param(PYTORCH, "torch_loop.py", "PyTorch", "meter.Meter.delivered", id="a batch"),
        pytest.param(PYTORCH, "torch_loop.py", "PyTorch", "meter.Meter.saved", id="a checkpoint"),
        pytest.param(TENSORFLOW, "keras_fit.py", "Keras", "meter.Meter.step", id="fit's step"),
        pytest.param(TENSORFLOW, "tensorflow_loop.py", "TensorFlow", "meter.Meter.step", id="a compiled step"),
    ],
)
def test_a_failing_hook_is_told_once_and_harms_nobody(
    environment: Environment, program: str, framework: str, what: str, tmp_path: Path
) -> None:
    owner, _, name = what.rpartition(".")
    # Comes after the instruments' own: a mistake in them, as a new version of a library would bring it out.
    (tmp_path / "sitecustomize.py").write_text(
        f"from regatta_runtime.measure import meter\ndef broken(*_, **__): raise ValueError('changed')\n"
        f"{owner}.{name} = broken\n"
    )
    told = run(
        environment,
        program,
        tmp_path,
        framework=framework,
        REGATTA_KERAS_BACKEND="tensorflow",
        SAVE_EVERY="10",
        beside=str(tmp_path),
    )
    assert told.exit_codes == [0], told.output
    assert told.output.count(SAID) == 1
    assert "ValueError: changed" in told.output
