"""Measures TensorFlow programs with loops of their own: batches of datasets, compiled steps, checkpoints, strategies.

A compiled function whose compilation updated weights is a step each time that it is called. One that loops over
batches itself makes several, as the optimizer's own count says after its second call.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, Dict

from regatta_runtime.hooks.imports import Hook
from regatta_runtime.hooks.keras_steps import Seen, updates
from regatta_runtime.measure.meter import Meter, attempt, fetching, restoring, saving, timed
from regatta_runtime.measure.states import RENDEZVOUS


def hooks(meter: Meter, seen: Seen) -> Dict[str, Hook]:
    """The modules after whose import something is put in place, and what."""
    return {
        "tensorflow.python.data.ops.iterator_ops": lambda module: _iterators(module, meter),
        "tensorflow.python.distribute.input_lib": lambda module: _distributed(module, meter),
        "tensorflow.python.eager.polymorphic_function.polymorphic_function": lambda module: _functions(module, seen),
        "tensorflow.python.checkpoint.checkpoint": lambda module: _checkpoints(module.Checkpoint, seen),
        "tensorflow.python.checkpoint.checkpoint_management": lambda module: _managers(module.CheckpointManager, meter),
        "tensorflow.python.distribute.mirrored_strategy": lambda module: _strategy(module, meter),
        "tensorflow.python.distribute.collective_all_reduce_strategy": lambda module: _workers(module, meter),
        "horovod.common.basics": lambda module: _horovod(module.HorovodBasics, meter),
    }


def _iterators(module: Any, meter: Meter) -> None:
    kind = module.OwnedIterator
    for name in ("__next__", "get_next"):
        setattr(kind, name, _in_python(module.context, getattr(kind, name), meter))


def _distributed(module: Any, meter: Meter) -> None:
    kind = module.DistributedIteratorBase
    kind.get_next = _in_python(module.context, kind.get_next, meter)


def _in_python(context: Any, following: Any, meter: Meter) -> Any:
    """Measured where a batch comes; in a function that is being compiled there is none yet."""
    measured = fetching(meter, following)

    @functools.wraps(following)
    def either(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not context.executing_eagerly():
            return following(self, *args, **kwargs)
        return measured(self)

    return either


def _functions(module: Any, seen: Seen) -> None:
    kind, meter = module.Function, seen.meter
    call = kind.__call__
    repeats: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # steps of a call
    before: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # the optimizer's count after the first

    @functools.wraps(call)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        if seen.fits or not meter.here():
            return call(self, *args, **kwargs)
        seen.calls.append(self)
        try:
            result = call(self, *args, **kwargs)
        finally:
            seen.calls.pop()
        if not seen.calls and self in seen.trains and module.context.executing_eagerly():
            attempt(meter, lambda: count(self))
        return result

    def count(function: Any) -> None:
        if not seen.counted.is_it(function):
            return
        optimizer, times, more = seen.trains[function](), repeats.get(function), 0
        if times is None:
            # Asked twice and never again: on an accelerator an answer waits for all that is under way.
            done = updates(optimizer)
            times = 1
            if function in before:
                times = repeats[function] = max(1, done - before[function])
                more = times - 1  # of the first call
            before[function] = done
        if seen.unread or more:
            seen.look(optimizer, made=times + more)
        meter.step(times + more)

    kind.__call__ = called


def _checkpoints(kind: Any, seen: Seen) -> None:
    for name in ("save", "write"):
        setattr(kind, name, saving(seen.meter, getattr(kind, name)))
    for name in ("restore", "read"):
        setattr(kind, name, restoring(seen.meter, getattr(kind, name), look=seen.loaded))


def _managers(kind: Any, meter: Meter) -> None:
    kind.save = saving(meter, kind.save)


def _strategy(module: Any, meter: Meter) -> None:
    made = module.MirroredStrategy.__init__

    @functools.wraps(made)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        meter.about(strategy="mirrored")
        made(self, *args, **kwargs)

    module.MirroredStrategy.__init__ = init


def _workers(module: Any, meter: Meter) -> None:
    kind = module.CollectiveAllReduceStrategy
    made = timed(meter, kind.__init__, RENDEZVOUS)

    @functools.wraps(made)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        meter.about(strategy="multi_worker_mirrored")
        made(self, *args, **kwargs)

    kind.__init__ = init


def _horovod(kind: Any, meter: Meter) -> None:
    begin = timed(meter, kind.init, RENDEZVOUS)

    @functools.wraps(begin)
    def init(self: Any, *args: Any, **kwargs: Any) -> Any:
        meter.about(strategy="horovod")
        return begin(self, *args, **kwargs)

    kind.init = init
