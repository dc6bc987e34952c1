"""A Horovod program that would train something else than the job says is ended before its first step.

Small packages with the real names stand in their place here; tests/cluster has the real ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.runtime.crew import PYTHON, RUNTIME, Crew
from tests.unit.runtime.test_hooks import TORCH, lay, training

HOROVOD = {
    "horovod/__init__.py": "",
    "horovod/common/__init__.py": "",
    "horovod/common/util.py": """
        def check_extension(name, *_):
            if name != "horovod.torch":
                raise ImportError(f"Extension {name} has not been built: mpi_lib.so not found")
    """,
    "horovod/common/basics.py": """
        import os
        class HorovodBasics:
            initialised = False
            def init(self): HorovodBasics.initialised = True
            def is_initialized(self): return self.initialised
            def size(self): return int(os.environ.get("FOUND") or os.environ["HOROVOD_SIZE"])
    """,
    "horovod/torch/__init__.py": """
        from horovod.common.util import check_extension
        check_extension("horovod.torch")
        from horovod.torch.mpi_ops import init, allreduce, broadcast
        from horovod.torch.optimizer import DistributedOptimizer
        from horovod.torch.functions import broadcast_optimizer_state
    """,
    "horovod/torch/functions.py": "def broadcast_optimizer_state(optimizer): optimizer.step()",
    "horovod/torch/mpi_ops.py": """
        from horovod.common.basics import HorovodBasics
        init = HorovodBasics().init
        def _allreduce_async(): return 1
        _grouped_allreduce_async = _allgather_async = _grouped_allgather_async = _allreduce_async
        _reducescatter_async = _grouped_reducescatter_async = _allreduce_async
        def allreduce(): return _allreduce_async()
        def broadcast(): return 1
    """,
    "horovod/torch/optimizer.py": """
        class _DistributedOptimizer: pass
        def DistributedOptimizer(optimizer):
            return type("SGD", (type(optimizer),), dict(_DistributedOptimizer.__dict__))()
    """,
    "horovod/tensorflow.py": """
        from horovod.common.util import check_extension
        check_extension("horovod.tensorflow")
    """,
}
BEGIN = "import torch, horovod.torch as hvd\n"
STEP = "optimizer = torch.optim.Optimizer()\n{}\noptimizer.step()"
WRAPPED = STEP.format("optimizer = hvd.DistributedOptimizer(optimizer)")

ALONE = "import torch\n" + STEP.format("")


def horovod(crew: Crew, program: str, **variables: str) -> Crew:
    lay(crew.folder, {**TORCH, **HOROVOD})
    return training(crew, program, REGATTA_FRAMEWORK="Horovod", **variables)


@pytest.mark.parametrize(
    ("program", "variables", "words"),
    [
        pytest.param(
            BEGIN + WRAPPED, {}, "without Horovod, but the job has 2 training processes; write `import", id="no init"
        ),
        pytest.param(ALONE, {}, "hvd.init()`", id="no Horovod at all"),
        pytest.param(
            BEGIN + "hvd.init()\n" + WRAPPED, {"FOUND": "1"}, "group of 1, but the job has 2", id="another size"
        ),
        pytest.param(
            BEGIN + "hvd.init()\nhvd.broadcast()\n" + STEP.format(""),
            {},
            "gradients that Horovod has not seen",
            id="an optimizer that nobody wrapped",
        ),
        pytest.param("import horovod.tensorflow", {}, "was not built for tensorflow", id="another framework's Horovod"),
        pytest.param(
            BEGIN + "hvd.init()\noptimizer = torch.optim.Optimizer()\n"
            "hvd.broadcast_optimizer_state(optimizer)\nprint('on')\noptimizer.step()",
            {},
            "gradients that Horovod has not seen",
            id="an optimizer of which only the state was broadcast",
        ),
        pytest.param(
            BEGIN + "hvd.init()\n" + WRAPPED,
            {"REGATTA_GPUS": "8"},
            "holds 8 GPUs and torch 2.0+cpu sees none",
            id="a build for CPUs",
        ),
    ],
)
def test_a_program_that_would_not_train_with_the_others_is_refused(
    crew: Crew, program: str, variables: dict[str, str], words: str
) -> None:
    horovod(crew.of(1, 2), program, **variables)
    assert crew.wait() == [78]
    told = crew.launchers[0].termination()
    assert (told["cause"], told["restarts"]) == ("ConfigError", 0)
    assert words in told["message"]
    assert "REGATTA_GROUP_CHECK" in told["message"]
    assert crew.output.count("stepped") == crew.output.count("] on")


@pytest.mark.parametrize(
    ("processes", "program", "variables"),
    [
        pytest.param(2, BEGIN + "hvd.init()\n" + WRAPPED, {}, id="as Horovod's guide says"),
        pytest.param(2, BEGIN + "hvd.init()\n" + STEP.format("hvd.allreduce()"), {}, id="reducing by itself"),
        pytest.param(1, ALONE, {}, id="one process needs nobody"),
        pytest.param(2, ALONE, {"REGATTA_GROUP_CHECK": "0"}, id="switched off"),
        pytest.param(2, "import mpi4py\n" + ALONE, {}, id="a library with groups of its own"),
    ],
)
def test_everything_else_trains(crew: Crew, processes: int, program: str, variables: dict[str, str]) -> None:
    lay(crew.folder, {"mpi4py.py": ""})
    horovod(crew.of(1, processes), program, **variables)
    assert crew.wait() == [0]
    assert crew.output.count("stepped") == processes


def test_a_horovod_whose_reductions_have_other_names_trains_unseen(crew: Crew) -> None:
    lay(crew.folder, {**TORCH, **HOROVOD})
    text = HOROVOD["horovod/torch/mpi_ops.py"].replace("_reducescatter_async = _grouped", "_grouped")
    lay(crew.folder, {"horovod/torch/mpi_ops.py": text, "program.py": BEGIN + "hvd.init()\n" + STEP.format("")})
    crew.of(1, 2).command(PYTHON, str(crew.folder / "program.py"))
    crew.env(PYTHONPATH=os.pathsep.join([str(RUNTIME), str(crew.folder)]), REGATTA_FRAMEWORK="Horovod").start()
    assert crew.wait() == [0]
    assert crew.output.count("stepped") == 2


@pytest.mark.parametrize(("workers", "codes"), [(2, [78, 78]), (1, [0])])
def test_horovodrun_is_for_one_worker_alone(crew: Crew, workers: int, codes: list[int]) -> None:
    files = {"horovod/runner/__init__.py": "", "horovod/runner/launch.py": "def run_commandline(): print('ran')"}
    run = f"#!{PYTHON}\nimport horovod.runner.launch as l; l.run_commandline()"
    lay(crew.folder, {**HOROVOD, **files, "horovodrun": run})
    (crew.folder / "horovodrun").chmod(0o755)
    crew.of(workers, 2).command(str(crew.folder / "horovodrun"), "-np", "2", "python", "train.py")
    crew.env(PYTHONPATH=os.pathsep.join([str(RUNTIME), str(crew.folder)]), REGATTA_FRAMEWORK="Horovod").start()
    assert crew.wait() == codes
    if workers > 1:
        assert "write the training script itself as the command" in crew.launchers[1].termination()["message"]


MISSING = {"PyTorch": "torch", "TensorFlow": "tensorflow", "Horovod": "horovod"}
LATER = """
import sys
from importlib.machinery import ModuleSpec
class Loader:
    def create_module(self, spec): return None
    def exec_module(self, module): module.answer = 42
class Finder:
    def find_spec(self, name, path=None, target=None): return ModuleSpec(name, Loader()) if name == "torch" else None
sys.meta_path.append(Finder())
import torch
print("found", torch.answer)
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """The runtime without the folders beside it, which are called as the frameworks are."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "regatta_runtime").symlink_to(RUNTIME / "regatta_runtime")
    return tmp_path / "runtime"


def bare(crew: Crew, runtime: Path, program: str, **variables: str) -> Crew:
    lay(crew.folder, {"program.py": program})
    crew.command(PYTHON, str(crew.folder / "program.py"))
    return crew.env(PYTHONPATH=str(runtime), **variables).start()


@pytest.mark.parametrize(("framework", "package"), MISSING.items())
def test_an_image_without_the_jobs_framework_ends_the_job_at_once(
    crew: Crew, runtime: Path, framework: str, package: str
) -> None:
    program = f"try:\n  import {package}\nexcept ImportError:\n  print('went on')"
    bare(crew.of(1), runtime, program, REGATTA_FRAMEWORK=framework)
    assert crew.wait() == [78]
    told = crew.launchers[0].termination()
    assert (told["cause"], told["restarts"]) == ("ConfigError", 0)
    assert f"this image has no {framework} (`import {package}` finds nothing)" in told["message"]
    assert "went on" not in crew.output


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param("import importlib.util as u\nprint('found', u.find_spec('torch'))", "found None", id="looking"),
        pytest.param("try: import tensorflow\nexcept ImportError: print('none')", "none", id="another framework's"),
        pytest.param(LATER, "found 42", id="a finder that comes later"),
    ],
)
def test_only_an_import_that_finds_nothing_does(crew: Crew, runtime: Path, program: str, said: str) -> None:
    bare(crew.of(1), runtime, program)
    assert crew.wait() == [0]
    assert said in crew.output
