"""Keras on TensorFlow: the strategy of the job's workers and GPUs, for a program that knows nothing of strategies.

TensorFlow joins its workers before anything else uses it, so this acts as soon as both are imported, whichever was
first. Each `fit` begins with the epoch, the weights and the optimizer's state of worker 0, so that workers which found
different checkpoints still train one model.
"""

from __future__ import annotations

import zlib
from types import ModuleType
from typing import Any, Dict, List, Mapping

from regatta_runtime.hooks import keras_fit, keras_saving
from regatta_runtime.hooks.imports import after_import
from regatta_runtime.hooks.keras_job import at_import
from regatta_runtime.hooks.refusal import refuse

several = False  # whether this process is one of several workers


def install(environ: Mapping[str, str]) -> None:
    """Set the strategy after the import of Keras and TensorFlow."""
    global several
    several = int(environ.get("REGATTA_WORKERS") or 1) > 1
    there: Dict[str, Any] = {}

    def arrived(module: ModuleType) -> None:
        # Each of the two imports the other on its way: the last one to be complete is the moment.
        there[module.__name__] = module
        if len(there) == 2:
            at_import(there["keras"], lambda: _set(there["keras"], there["tensorflow"], environ))

    for name in ("keras", "tensorflow"):
        after_import(name, arrived)


def _set(keras: Any, tensorflow: Any, environ: Mapping[str, str]) -> None:
    workers = int(environ.get("REGATTA_WORKERS") or 1)
    strategy = _strategy(tensorflow, workers)
    if strategy is None:
        return
    tensorflow.distribute.experimental_set_strategy(strategy)
    for name in ("MirroredStrategy", "MultiWorkerMirroredStrategy", "ParameterServerStrategy"):
        kind = getattr(tensorflow.distribute, name, None)
        if kind is not None:
            kind.__init__ = _refused(name)
    if workers > 1:
        # Workers that shuffle in different orders would not have each sample once in an epoch. A seed that the program
        # sets itself comes later, and counts.
        name = "/".join(environ.get(f"REGATTA_{part}", "") for part in ("UID", "ATTEMPT", "GENERATION"))
        tensorflow.random.set_seed(zlib.crc32(name.encode()))
        keras_fit.wrap(keras, Workers(tensorflow, strategy))
        keras_saving.wrap(keras)


def _refused(name: str) -> Any:
    """An initialiser: two strategies in one process end in errors of TensorFlow, if not in a crash."""

    def init(self: Any, *_: Any, **__: Any) -> None:
        refuse(
            f"this program makes a {name} of its own, and a Keras job has the strategy of its workers and GPUs "
            "already: leave it out, or use framework: TensorFlow"
        )

    return init


def _strategy(tensorflow: Any, workers: int) -> Any:
    distribute = tensorflow.distribute
    if workers == 1:
        several = len(tensorflow.config.list_physical_devices("GPU")) > 1
        return distribute.MirroredStrategy() if several else None
    try:
        return distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as problem:
        if "startup" not in str(problem):
            raise
        refuse(
            "TensorFlow was used before Keras was imported, too late for joining the other workers: write `import "
            "keras` above the first use of TensorFlow"
        )


class Workers(keras_fit.Parallel):
    """What `fit` asks of several TensorFlow workers; the strategy itself does the rest."""

    def __init__(self, tensorflow: Any, strategy: Any) -> None:
        self._tensorflow = tensorflow
        self._strategy = strategy

    def first_ones(self, number: int) -> int:
        """Worker 0's number."""
        return int(self._strategy.gather(self._tensorflow.constant([number]), axis=0)[0])

    def begin(self, model: Any, arguments: Dict[str, Any], steps: Any) -> None:
        """Give every worker the variables of worker 0."""
        variables = keras_fit.state(model)
        kinds: Dict[Any, List[Any]] = {}
        for variable in variables:
            kinds.setdefault(self._tensorflow.as_dtype(variable.dtype), []).append(variable)
        for dtype, some in kinds.items():
            if dtype.is_floating or dtype.is_integer:
                for variable, value in zip(some, self._of_the_first([v.value for v in some])):
                    variable.assign(value)

    def _of_the_first(self, values: List[Any]) -> List[Any]:
        tensorflow, strategy = self._tensorflow, self._strategy

        @tensorflow.function
        def shared() -> Any:
            def of_replica() -> Any:
                context = tensorflow.distribute.get_replica_context()
                first = context.replica_id_in_sync_group == 0
                mine = [tensorflow.convert_to_tensor(value) for value in values]
                # What does not count is no number times zero: that of a value that is not finite is none.
                mine = [tensorflow.where(first, value, tensorflow.zeros_like(value)) for value in mine]
                return context.all_reduce("SUM", mine)

            return strategy.run(of_replica)

        return [strategy.experimental_local_results(value)[0] for value in shared()]
