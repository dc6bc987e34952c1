"""Hooks inside training processes: there for the frameworks they are for, unnoticed by everybody else.

Small packages with the frameworks' names stand in their place here; the real ones meet the hooks in tests/cluster.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regatta_runtime.hooks import keras_repair
from tests.unit.runtime.crew import PYTHON, RUNTIME, Crew

SITE = RUNTIME / "regatta_runtime" / "hooks" / "site"
TORCH = {
    "torch/__init__.py": """
        class cuda:
            is_available = staticmethod(lambda: False)
        __version__ = "2.0+cpu"
        from torch import distributed, optim
    """,
    "torch/distributed.py": """
        _group = 0
        def is_available(): return True
        def is_initialized(): return _group > 0
        def get_world_size(): return _group
        def init_process_group(size):
            global _group
            _group = size
    """,
    "torch/optim/__init__.py": "from torch.optim.optimizer import Optimizer",
    "torch/optim/optimizer.py": """
        _hooks = []
        def register_optimizer_step_pre_hook(hook): _hooks.append(hook)
        class Optimizer:
            def step(self):
                for hook in _hooks: hook(self, (), {})
                print("stepped", flush=True)
    """,
}


def lay(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder


def training(crew: Crew, program: str, **variables: str) -> Crew:
    """Let every process run a program that can import the packages laid into the crew's folder."""
    lay(crew.folder, {"program.py": program})
    crew.command(PYTHON, str(crew.folder / "program.py"))
    return crew.env(PYTHONPATH=os.pathsep.join([str(RUNTIME), str(crew.folder)]), **variables).start()


ALONE = "import torch; torch.optim.Optimizer().step(); torch.optim.Optimizer().step()"
AGAIN = """
import os, sys
if "AGAIN" not in os.environ:
    os.environ["AGAIN"] = "1"
    os.execv(sys.executable, [sys.executable, __file__])
"""
TOGETHER = "import torch; torch.distributed.init_process_group({}); torch.optim.Optimizer().step()"


def test_a_program_that_never_joins_its_group_is_ended_before_its_first_step_and_not_started_again(crew: Crew) -> None:
    lay(crew.folder, TORCH)
    training(crew.of(2), ALONE)
    assert crew.wait() == [78, 78]
    assert "stepped" not in crew.output
    for worker in (0, 1):
        told = crew.launchers[worker].termination()
        assert (told["cause"], told["restarts"]) == ("ConfigError", 0)
        assert "cannot train as this job asks: this program takes its first optimizer step without" in told["message"]
        assert "the job has 2 training processes; to train anyway, set REGATTA_GROUP_CHECK" in told["message"]


def test_a_group_of_another_size_is_told_with_both_sizes(crew: Crew) -> None:
    lay(crew.folder, TORCH)
    training(crew.of(1, 3), TOGETHER.format(2))
    assert crew.wait() == [78]
    assert "in a group of 2, but the job has 3 training processes" in crew.launchers[0].termination()["message"]


def test_a_program_that_executes_itself_anew_is_looked_at_as_well(crew: Crew) -> None:
    lay(crew.folder, TORCH)
    training(crew.of(1, 2), AGAIN + ALONE)
    assert crew.wait() == [78]


def test_gpus_that_the_program_cannot_see_are_told(crew: Crew) -> None:
    lay(crew.folder, TORCH)
    training(crew.of(1), ALONE, REGATTA_GPUS="8")
    assert crew.wait() == [78]
    assert "holds 8 GPUs and torch 2.0+cpu sees none" in crew.launchers[0].termination()["message"]


@pytest.mark.parametrize(
    ("processes", "program", "variables"),
    [
        pytest.param(2, TOGETHER.format(2), {}, id="a whole group"),
        pytest.param(1, ALONE, {}, id="one process that asks for no GPU"),
        pytest.param(2, ALONE, {"REGATTA_GROUP_CHECK": "0"}, id="switched off"),
        pytest.param(2, ALONE, {"REGATTA_FRAMEWORK": "Custom"}, id="a framework of which nothing is known"),
        pytest.param(2, "import horovod\n" + ALONE, {}, id="a library with groups of its own"),
        pytest.param(
            2,
            f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ALONE!r}], check=True)",
            {},
            id="a child that trains something by itself",
        ),
    ],
)
def test_everything_else_trains(crew: Crew, processes: int, program: str, variables: dict[str, str]) -> None:
    lay(crew.folder, {**TORCH, "horovod.py": ""})
    training(crew.of(1, processes), program, **variables)
    assert crew.wait() == [0]
    assert crew.output.count("stepped") >= processes


def test_a_library_that_changed_is_told_of_and_trains(crew: Crew) -> None:
    lay(crew.folder, {**TORCH, "torch/optim/optimizer.py": "class Optimizer:\n  def step(self): print('stepped')"})
    training(crew.of(1, 2), ALONE)
    assert crew.wait() == [0]
    assert "no hook on torch.optim.optimizer: AttributeError" in crew.output


LOOK = "import importlib.util; importlib.util.find_spec('torch.optim.optimizer')\n"
FAIL = """
import os
if not os.environ.pop("AGAIN", ""):
    os.environ["AGAIN"] = "1"
    raise ImportError("not yet")
"""


@pytest.mark.parametrize(
    ("begin", "module"),
    [
        pytest.param("try: import torch\nexcept ImportError: pass\n", FAIL, id="failed"),
        pytest.param(LOOK, "", id="sought"),
    ],
)
def test_a_module_that_was_not_executed_at_once_is_hooked_later(crew: Crew, begin: str, module: str) -> None:
    optimizer = "torch/optim/optimizer.py"
    lay(crew.folder, {**TORCH, optimizer: module + textwrap.dedent(TORCH[optimizer])})
    training(crew.of(1, 2), begin + ALONE)
    assert crew.wait() == [78]


def python(*arguments: str, path: list[Path], **variables: str) -> str:
    """What a training process says that does these things."""
    environment = {"PYTHONPATH": os.pathsep.join(map(str, [SITE, RUNTIME, *path])), **variables}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


JOB = {"REGATTA_FRAMEWORK": "PyTorch", "REGATTA_GENERATION": "1", "REGATTA_WORKERS": "2", "REGATTA_PROCESSES": "1"}


def test_an_images_own_sitecustomize_runs_as_well(tmp_path: Path) -> None:
    lay(tmp_path, {"sitecustomize.py": "HERE = True; print('theirs')"})
    said = python("-c", "import sitecustomize; print(sitecustomize.HERE)", path=[tmp_path], **JOB)
    assert said.split() == ["theirs", "True"]


def test_a_module_that_is_hooked_looks_like_any_other(tmp_path: Path) -> None:
    lay(tmp_path, TORCH)
    show = "import torch.optim.optimizer as m; print(type(m.__loader__).__name__, type(m.__spec__.loader).__name__)"
    assert python("-c", show, path=[tmp_path], **JOB) == "SourceFileLoader SourceFileLoader"


def test_outside_of_a_job_nothing_is_hooked(tmp_path: Path) -> None:
    finders = "import sys; print([type(f).__name__ for f in sys.meta_path if '_Finder' in str(f)])"
    assert python("-c", finders, path=[tmp_path]) == "[]"
    assert python("-c", finders, path=[tmp_path], **JOB) == "['_Finder']"


@pytest.mark.parametrize(
    ("version", "wanted"),
    [("3.5.0", False), ("3.6.0", True), ("3.15.1", True), ("3.16.0", False), ("4.0", False), ("2.15.0", False)],
)
def test_keras_is_repaired_in_the_versions_that_need_it_alone(
    version: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras.src.version", SimpleNamespace(__version__=version))  # type: ignore[arg-type]
    untouched: Any = lambda *_: None  # noqa: E731
    trainer = SimpleNamespace(
        TensorFlowTrainer=SimpleNamespace(_maybe_symbolic_build=untouched), reduce_per_replica=untouched
    )
    keras_repair.repair(trainer)  # type: ignore[arg-type]
    assert (trainer.reduce_per_replica is not untouched) is wanted
    assert (trainer.TensorFlowTrainer._maybe_symbolic_build is not untouched) is wanted
