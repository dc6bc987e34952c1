"""Measures Keras programs on either backend, and those of Keras 2 (`tf_keras`): steps, evaluation, checkpoints.

In `fit` a step is a batch that its callbacks hear of; in loops without `fit` it is an optimizer's update. TensorFlow
takes its batches inside of the compiled step, where nobody sees how long it waits: so `fit` is given each batch as
`train_on_batch` gives it, which Keras offers for the purpose, and fetches it itself.
"""

from __future__ import annotations

import functools
import sys
import weakref
from types import ModuleType
from typing import Any, Callable, Dict, List

from regatta_runtime.hooks.counted import Counted
from regatta_runtime.hooks.imports import Hook
from regatta_runtime.measure.meter import Meter, attempt, restoring, saving, timed
from regatta_runtime.measure.position import EPOCHS, OPTIMIZER
from regatta_runtime.measure.readings import PRECISIONS
from regatta_runtime.measure.states import EVAL


class Seen:
    """What the hooks of one process know together."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.counted = Counted()
        self.fits = 0  # that go on
        self.unread = True  # whether the optimizer has still to be asked how many steps it knows of
        self.epoch = 0  # of fit, the present one
        self.begin = 0  # the first of the batches that are under way
        self.calls: List[Any] = []  # compiled functions that are being called
        self.trains: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()  # those that update weights

    def loaded(self, *_: Any) -> None:
        """A checkpoint was read."""
        self.unread = True

    def look(self, optimizer: Any, *, made: int) -> int:
        """Ask an optimizer how many updates it knows of, `made` of which are not counted yet."""
        self.unread = False
        done = updates(optimizer)
        if done:
            self.meter.position.says(OPTIMIZER, done, steps=self.meter.steps + made)
        return done

    def applied(self, optimizer: Any) -> None:
        """An optimizer updated weights, or a function is compiled that will."""
        if self.fits or not self.meter.on:
            return
        if self.calls and not _eager():
            self.trains.setdefault(self.calls[0], weakref.ref(optimizer))
        elif _eager() and self.meter.here() and self.counted.is_it(optimizer):
            if self.unread:
                self.look(optimizer, made=1)
            self.meter.step()


def updates(optimizer: Any) -> int:
    """How many updates of its life an optimizer knows of; 0 where it does not say."""
    iterations = getattr(optimizer, "iterations", None)
    if iterations is None:
        return 0
    try:
        return int(iterations)
    except TypeError:  # TensorFlow's, of several replicas
        return int(getattr(iterations, "value", iterations).numpy())


def _eager() -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is None or not hasattr(tensorflow, "executing_eagerly") or bool(tensorflow.executing_eagerly())


def hooks(meter: Meter, seen: Seen) -> Dict[str, Hook]:
    """The modules after whose import something is put in place, and what."""
    return {
        "keras.src.callbacks.callback_list": lambda module: _batches(module.CallbackList, seen),
        "keras.src.models.model": lambda module: _model(module.Model, seen),
        "keras.src.optimizers.base_optimizer": lambda module: _updates(module.BaseOptimizer, "apply", seen),
        "keras.src.saving.saving_api": lambda module: _files(module, seen),
        "keras.src.backend.tensorflow.trainer": lambda module: _fetch(module, seen),
        "tf_keras.src.callbacks": lambda module: _batches(module.CallbackList, seen),
        "tf_keras.src.engine.training": lambda module: _model(module.Model, seen),
        "tf_keras.src.optimizers.optimizer": lambda module: _updates(module.Optimizer, "apply_gradients", seen),
        "tf_keras.src.saving.saving_api": lambda module: _files(module, seen),
    }


def _batches(kind: Any, seen: Seen) -> None:
    meter = seen.meter
    epoch_begin, batch_begin, batch_end = kind.on_epoch_begin, kind.on_train_batch_begin, kind.on_train_batch_end
    train_begin = kind.on_train_begin

    @functools.wraps(train_begin)
    def on_train_begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        if meter.here():
            attempt(meter, meter.discard)  # a model that is not built yet looks at a batch first
        return train_begin(self, *args, **kwargs)

    @functools.wraps(epoch_begin)
    def on_epoch_begin(self: Any, epoch: int, *args: Any, **kwargs: Any) -> Any:
        seen.epoch = epoch
        return epoch_begin(self, epoch, *args, **kwargs)

    @functools.wraps(batch_begin)
    def on_train_batch_begin(self: Any, batch: int, *args: Any, **kwargs: Any) -> Any:
        seen.begin = batch
        if seen.unread and meter.here():
            attempt(meter, lambda: _find_place(self, seen))
        return batch_begin(self, batch, *args, **kwargs)

    @functools.wraps(batch_end)
    def on_train_batch_end(self: Any, batch: int, *args: Any, **kwargs: Any) -> Any:
        if meter.here():
            attempt(meter, lambda: meter.step(max(1, batch - seen.begin + 1)))
        return batch_end(self, batch, *args, **kwargs)

    kind.on_train_begin = on_train_begin
    kind.on_epoch_begin = on_epoch_begin
    kind.on_train_batch_begin = on_train_batch_begin
    kind.on_train_batch_end = on_train_batch_end


def _find_place(callbacks: Any, seen: Seen) -> None:
    """Before the first batch: after which step of the whole training it comes."""
    model = getattr(callbacks, "_model", None) or getattr(callbacks, "model", None)
    done = seen.look(getattr(model, "optimizer", None), made=0)
    steps = (getattr(callbacks, "params", None) or {}).get("steps")
    if not done and seen.epoch and isinstance(steps, int):
        seen.meter.position.says(EPOCHS, seen.epoch * steps, steps=seen.meter.steps)
    keras = sys.modules.get("keras")
    policy = getattr(getattr(keras, "config", None), "dtype_policy", None)
    if policy is not None:
        name = policy().name
        seen.meter.about(precision=name if name in PRECISIONS else "other")


def _model(kind: Any, seen: Seen) -> None:
    meter = seen.meter
    fit, train_on_batch = kind.fit, kind.train_on_batch

    @functools.wraps(fit)
    def fitted(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.fits += 1
        try:
            return fit(self, *args, **kwargs)
        finally:
            seen.fits -= 1

    @functools.wraps(train_on_batch)
    def trained(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not meter.here():
            return train_on_batch(self, x, *args, **kwargs)
        attempt(meter, lambda: meter.batch(x))
        seen.fits += 1
        try:
            result = train_on_batch(self, x, *args, **kwargs)
        finally:
            seen.fits -= 1
        attempt(meter, meter.step)
        return result

    kind.fit, kind.train_on_batch = fitted, trained
    kind.evaluate, kind.predict = timed(meter, kind.evaluate, EVAL), timed(meter, kind.predict, EVAL)
    kind.save, kind.save_weights = saving(meter, kind.save, path=1), saving(meter, kind.save_weights, path=1)
    kind.load_weights = restoring(meter, kind.load_weights, look=seen.loaded)


def _files(module: ModuleType, seen: Seen) -> None:
    module.load_model = restoring(seen.meter, module.load_model, look=seen.loaded)  # type: ignore[attr-defined]


def _updates(kind: Any, name: str, seen: Seen) -> None:
    update: Callable[..., Any] = getattr(kind, name)

    @functools.wraps(update)
    def updated(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = update(self, *args, **kwargs)
        attempt(seen.meter, lambda: seen.applied(self))
        return result

    setattr(kind, name, updated)


def _fetch(module: Any, seen: Seen) -> None:
    """Fetch `fit`'s batches where it can be seen, in Keras versions whose step takes them from there."""
    meter, trainer = seen.meter, module.TensorFlowTrainer
    make, tensorflow = trainer.make_train_function, module.tf
    if not hasattr(trainer, "_make_function"):
        return
    iterators = (tensorflow.data.Iterator, tensorflow.distribute.DistributedIterator)

    @functools.wraps(make)
    def make_train_function(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = self.train_function
        result = make(self, *args, **kwargs)
        if self.train_function is not before and self.steps_per_execution == 1:
            self.train_function = fetching_first(self.train_function)
        return result

    def fetching_first(function: Any) -> Any:
        @functools.wraps(function)
        def train_function(iterator: Any) -> Any:
            if not meter.here() or not isinstance(iterator, iterators):
                return function(iterator)
            return function((next(iterator),))

        return train_function

    trainer.make_train_function = make_train_function
