"""Makes Keras 3's `model.fit` work under MultiWorkerMirroredStrategy, which it does not by itself (keras#20585).

Two places of the TensorFlow trainer take values that lie on several replicas for plain tensors: the look at the first
batch from which it learns the shapes, and the mean over all replicas of what a step returned. Both are replaced where
the versions are known to need it; everything else stays Keras's own.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any, Tuple

MODULE = "keras.src.backend.tensorflow.trainer"
# The first version and the one after the last in which it was seen; the repair was compared with MirroredStrategy in
# 3.6 to 3.12, 3.14 and 3.15.
FIRST, AFTER = (3, 6), (3, 16)


def affected(version: str) -> bool:
    """Whether this version of Keras needs the repair."""
    return FIRST <= _parts(version) < AFTER


def repair(module: ModuleType) -> None:
    """Replace the two places in the freshly imported trainer module."""
    version = sys.modules["keras.src.version"].__version__
    if not affected(version):
        return
    trainer = module.TensorFlowTrainer
    trainer._maybe_symbolic_build = _build(trainer._maybe_symbolic_build)
    module.reduce_per_replica = _reduce(module, module.reduce_per_replica)


def _build(build: Any) -> Any:
    @functools.wraps(build)
    def repaired(self: Any, iterator: Any = None, data_batch: Any = None) -> Any:
        strategy = self._distribute_strategy
        if iterator is None or strategy is None or not _spans_workers(strategy):
            return build(self, iterator=iterator, data_batch=data_batch)
        # From version to version it came to be iterable, and to tell of steps before and after.
        for *_, batches in iterator if hasattr(iterator, "__iter__") else iterator.enumerate_epoch():
            data_batch = sys.modules["tensorflow"].nest.map_structure(_of_one_replica(strategy), next(batches))
            break
        return build(self, data_batch=data_batch)

    return repaired


def _reduce(module: Any, reduce: Any) -> Any:
    @functools.wraps(reduce)
    def repaired(values: Any, strategy: Any, reduction: str) -> Any:
        if reduction not in ("auto", "mean") or not _spans_workers(strategy):
            return reduce(values, strategy, reduction)
        mean = functools.partial(strategy.reduce, "MEAN", axis=None)  # of whole values: a loss has no axis to reduce
        return sys.modules["tensorflow"].nest.map_structure(mean, values)

    return repaired


def _of_one_replica(strategy: Any) -> Any:
    # Only shapes and types are learned from it, so any replica's part does.
    return lambda value: strategy.experimental_local_results(value)[0]


def _spans_workers(strategy: Any) -> bool:
    return getattr(strategy.extended, "_num_workers", 1) > 1


def _parts(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
