"""Keras in a job of several processes: refused with words wherever they would train apart, untouched in one process.

Small packages with the libraries' names stand in their place; their group behaves as if all ranks did the same. What
the real ones learn together is compared in tests/cluster.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.runtime.crew import Crew
from tests.unit.runtime.test_hooks import lay, training

TORCH = {
    "torch/__init__.py": """
        from types import SimpleNamespace
        __version__ = "2.0+cpu"
        cuda = SimpleNamespace(is_available=lambda: False)
        from torch import distributed, utils
    """,
    "torch/distributed.py": """
        import os
        _joined = False
        def is_available(): return True
        def is_initialized(): return _joined
        def get_world_size(): return int(os.environ["WORLD_SIZE"])
        def destroy_process_group(): pass
        def init_process_group(backend):
            global _joined
            _joined = True
            print("joined", backend, flush=True)
        def all_gather_object(given, mine): given[:] = [mine] * len(given)
    """,
    "torch/utils/__init__.py": "from torch.utils import data",
    "torch/utils/data/__init__.py": "class DataLoader: pass",
    "torch/utils/data/distributed.py": "class DistributedSampler: pass",
}
KERAS = {
    "keras/__init__.py": """
        import os, torch
        from types import SimpleNamespace
        __version__ = os.environ.get("KERAS_VERSION", "3.15.1")
        config = SimpleNamespace(backend=lambda: os.environ["KERAS_BACKEND"])
        class Callback:
            def on_batch_end(self, batch, logs=None): pass
            def on_train_batch_end(self, batch, logs=None): pass
        class CallbackList: pass
        callbacks = SimpleNamespace(Callback=Callback, CallbackList=CallbackList)
        class Optimizer:
            built = False
            def apply(self, grads, trainable_variables=None): print("stepped", flush=True)
        optimizers = SimpleNamespace(Optimizer=Optimizer)
        class Model:
            built = True
            def save(self, filepath, overwrite=True):
                with open(filepath, "w" if overwrite else "x") as file: file.write("model")
                print("wrote", filepath, flush=True)
            save_weights = save
            variables = ()
            def fit(self, x=None, y=None, batch_size=None, epochs=1, callbacks=None, validation_split=0.0,
                    validation_data=None, sample_weight=None, initial_epoch=0, steps_per_epoch=None,
                    validation_batch_size=None, validation_freq=1):
                print("fitted", batch_size, len(callbacks or ()), flush=True)
    """,
}
OPTIMIZERS = {
    "keras/src/__init__.py": "",
    "keras/src/optimizers/__init__.py": "",
    "keras/src/optimizers/base_optimizer.py": """
        class BaseOptimizer:
            def apply(self, grads): print("stepped", flush=True)
    """,
}
BEGIN = """
import keras
class Array:
    shape = (128, 4)
    def __getitem__(self, which): return self
Array.__module__ = "numpy"
"""
FIT = BEGIN + "keras.Model().fit(Array(), Array(){})"
STEP = BEGIN + "keras.optimizers.Optimizer().apply([1.0], [object()])"


def keras_job(crew: Crew, program: str, *, processes: int = 2, files: dict[str, str] | None = None, **env: str) -> Crew:
    """Run a program in a Keras job on PyTorch, with the small packages as they are or changed."""
    lay(crew.folder, {**TORCH, **KERAS, **(files or {})})
    backend = env.pop("REGATTA_KERAS_BACKEND", "torch")
    return training(crew.of(1, processes), program, REGATTA_FRAMEWORK="Keras", REGATTA_KERAS_BACKEND=backend, **env)


def refusal(crew: Crew) -> str:
    """Why the program was ended, once, before it did anything."""
    assert crew.wait() == [78]
    assert not {"fitted", "stepped"} & set(crew.output.split())
    told = crew.launchers[0].termination()
    assert (told["cause"], told["restarts"]) == ("ConfigError", 0)
    return str(told["message"])


def test_processes_that_fit_arrays_join_and_take_their_part_of_a_batch(crew: Crew) -> None:
    keras_job(crew, FIT.format(", batch_size=64"))
    assert crew.wait() == [0]
    assert crew.output.count("joined gloo") == 2
    assert crew.output.count("fitted 32 3") == 2


def test_kerass_own_batch_size_is_that_of_all_too(crew: Crew) -> None:
    keras_job(crew, FIT.format(""))
    assert crew.wait() == [0]
    assert crew.output.count("fitted 16 3") == 2


def test_in_one_process_nothing_is_changed(crew: Crew) -> None:
    keras_job(crew, FIT.format("") + "\nkeras.optimizers.Optimizer().apply([1.0], [object()])", processes=1)
    assert crew.wait() == [0]
    assert "joined" not in crew.output
    assert "fitted None 0" in crew.output
    assert "stepped" in crew.output


def test_data_that_says_it_is_a_part_is_taken_as_it_is(crew: Crew) -> None:
    keras_job(crew, BEGIN + "from regatta_runtime.keras import sharded; keras.Model().fit(sharded(iter(())))")
    assert crew.wait() == [0]
    assert crew.output.count("fitted None 3") == 2


@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param(BEGIN + "keras.Model().fit(iter(()))", "regatta_runtime.keras.sharded(data)", id="a generator"),
        pytest.param(FIT.format(", batch_size=33"), "choose a multiple of 2", id="a batch that cannot be shared"),
        pytest.param(STEP, "regatta_runtime.keras.data_parallel(model)", id="a loop of its own"),
        pytest.param(
            BEGIN
            + "from regatta_runtime.keras import data_parallel\nm = keras.Model(); m.built = False; data_parallel(m)",
            "build the model first",
            id="a model without variables",
        ),
        pytest.param(
            BEGIN + "m = keras.Model(); m.loss = type('L', (), {'reduction': 'sum'})(); m.fit(Array(), Array())",
            "reduction='sum_over_batch_size'",
            id="a loss that is a sum",
        ),
    ],
)
def test_what_would_train_apart_is_refused_with_what_to_write(crew: Crew, program: str, words: str) -> None:
    keras_job(crew, program)
    assert words in refusal(crew)


@pytest.mark.parametrize("processes", [1, 2])
def test_another_backend_than_the_jobs_is_refused_when_keras_is_imported(crew: Crew, processes: int) -> None:
    keras_job(crew, 'import os; os.environ["KERAS_BACKEND"] = "jax"\n' + FIT.format(""), processes=processes)
    assert "computes with jax in this program, and spec.kerasBackend is torch" in refusal(crew)


def test_a_keras_before_the_third_is_refused(crew: Crew) -> None:
    keras_job(crew, FIT.format(""), processes=1, KERAS_VERSION="2.15.0")
    assert "needs Keras 3, and the image has Keras 2.15.0" in refusal(crew)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(("initial_epoch=0", "first_epoch=0"), id="fit"),
        pytest.param(("SimpleNamespace(Optimizer=", "SimpleNamespace(Other="), id="optimizers"),
        pytest.param(("callbacks = SimpleNamespace(Callback=", "callbacks = SimpleNamespace(Other="), id="callbacks"),
    ],
)
def test_a_keras_that_changed_is_refused_instead_of_trained_apart(crew: Crew, changed: tuple[str, str]) -> None:
    text = KERAS["keras/__init__.py"].replace(*changed)
    keras_job(crew, FIT.format(""), files={"keras/__init__.py": text})
    assert "cannot train together with this Keras (3.15.1)" in refusal(crew)


def test_a_single_process_that_sees_no_gpu_is_told(crew: Crew) -> None:
    program = "import keras\nfrom keras.src.optimizers.base_optimizer import BaseOptimizer\nBaseOptimizer().apply([1])"
    keras_job(crew, program, processes=1, files=OPTIMIZERS, REGATTA_GPUS="1")
    assert "holds 1 GPUs and torch 2.0+cpu sees none" in refusal(crew)


def test_switched_off_only_the_group_is_looked_at(crew: Crew) -> None:
    program = "import keras\nfrom keras.src.optimizers.base_optimizer import BaseOptimizer\nBaseOptimizer().apply([1])"
    keras_job(crew, program, files=OPTIMIZERS, REGATTA_KERAS_PARALLEL="0")
    assert "first optimizer step without having called torch.distributed.init_process_group" in refusal(crew)


SAVE = (
    BEGIN
    + """
import os
folder = os.environ["FOLDER"]
keras.Model().save(folder + "/m.keras")
keras.Model().save_weights(folder + "/m.weights.h5")
print(sorted(os.listdir(folder)), flush=True)
"""
)


def test_each_process_saves_a_whole_file(crew: Crew) -> None:
    folder = crew.folder / "saved"
    folder.mkdir()
    keras_job(crew, SAVE, FOLDER=str(folder))
    assert crew.wait() == [0]
    assert sorted(file.name for file in folder.iterdir()) == ["m.keras", "m.weights.h5"]
    for rank in (0, 1):
        assert f"wrote {folder}/.rank{rank}-m.keras" in crew.output


def test_a_file_that_must_not_be_overwritten_is_left_to_keras(crew: Crew) -> None:
    (crew.folder / "m.keras").write_text("old")
    keras_job(crew, BEGIN + f"keras.Model().save({str(crew.folder / 'm.keras')!r}, overwrite=False)")
    assert crew.wait() == [1]
    assert (crew.folder / "m.keras").read_text() == "old"


def test_what_is_said_of_a_single_process_means_nothing(crew: Crew) -> None:
    words = "from regatta_runtime.keras import data_parallel, sharded\n"
    keras_job(crew, BEGIN + words + "keras.Model().fit(sharded(iter(()))); data_parallel(keras.Model())", processes=1)
    assert crew.wait() == [0]
    assert "fitted None 0" in crew.output


TENSORFLOW: dict[str, Any] = {
    "tensorflow/__init__.py": """
        import os
        from types import SimpleNamespace
        def strategy(name):
            class Strategy:
                def __init__(self):
                    if os.environ.get("USED"): raise RuntimeError("Collective ops must be configured at startup")
                    print("made", name, flush=True)
            return Strategy
        chosen = []
        distribute = SimpleNamespace(
            has_strategy=lambda: bool(chosen), experimental_set_strategy=chosen.append,
            MirroredStrategy=strategy("mirrored"), MultiWorkerMirroredStrategy=strategy("multi"),
        )
        gpus = int(os.environ.get("SEEN_GPUS", "0"))
        config = SimpleNamespace(list_physical_devices=lambda kind: ["gpu"] * gpus)
        random = SimpleNamespace(set_seed=lambda seed: print("seed", seed, flush=True))
        import keras
    """,
    "keras/__init__.py": KERAS["keras/__init__.py"].replace("import os, torch", "import os, tensorflow"),
}


def on_tensorflow(crew: Crew, program: str, *, workers: int, **env: str) -> Crew:
    lay(crew.folder, TENSORFLOW)
    crew.of(workers)
    return training(crew, program, REGATTA_FRAMEWORK="Keras", REGATTA_KERAS_BACKEND="tensorflow", **env)


@pytest.mark.parametrize("program", ["import keras", "import tensorflow", "import keras, tensorflow"])
@pytest.mark.parametrize(
    ("workers", "gpus", "made"), [(2, 0, ["made multi"] * 2), (1, 2, ["made mirrored"]), (1, 1, []), (1, 0, [])]
)
def test_on_tensorflow_the_strategy_of_workers_and_gpus_is_set_at_the_import(
    crew: Crew, program: str, workers: int, gpus: int, made: list[str]
) -> None:
    show = "\nimport sys; print('chosen', len(sys.modules['tensorflow'].chosen), flush=True)"
    on_tensorflow(crew, program + show, workers=workers, SEEN_GPUS=str(gpus))
    assert crew.wait() == [0] * workers
    assert [line[4:] for line in crew.output.splitlines() if "made" in line] == made
    assert crew.output.count("chosen 1") == len(made)


def test_workers_shuffle_alike(crew: Crew) -> None:
    on_tensorflow(crew, "import keras", workers=2)
    assert crew.wait() == [0, 0]
    seeds = [line.split("seed ")[1] for line in crew.output.splitlines() if "seed" in line]
    assert len(seeds) == 2
    assert len(set(seeds)) == 1


def test_a_strategy_of_the_programs_own_is_refused(crew: Crew) -> None:
    on_tensorflow(crew, "import keras, tensorflow; tensorflow.distribute.MirroredStrategy()", workers=2)
    assert crew.wait() == [78, 78]
    assert "makes a MirroredStrategy of its own" in crew.launchers[0].termination()["message"]


def test_tensorflow_that_was_used_before_is_told(crew: Crew) -> None:
    on_tensorflow(crew, "import keras", workers=2, USED="1")
    assert crew.wait() == [78, 78]
    assert "write `import keras` above the first use of TensorFlow" in crew.launchers[0].termination()["message"]


def test_the_words_for_torch_are_refused_on_tensorflow(crew: Crew) -> None:
    on_tensorflow(crew, "import keras\nfrom regatta_runtime.keras import sharded\nsharded([])", workers=2)
    assert crew.wait() == [78, 78]
    assert "on tensorflow the strategy deals out" in crew.launchers[0].termination()["message"]
