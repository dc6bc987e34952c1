"""Stands around Keras's `model.fit`, on either backend: all processes begin with the state of the first.

Only what Keras documents is used: the arguments of `fit`, callbacks, and a model's variables.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Dict, List

from regatta_runtime.hooks.keras_job import or_refuse

SEEDS = "seed_generator_state"  # the name of Keras's random states, which are better left different


class Parallel:
    """What a backend does in `fit`; every method is called by all processes at the same point."""

    def first_ones(self, number: int) -> int:
        """The number that the first process has."""
        raise NotImplementedError

    def prepare(self, model: Any, arguments: Dict[str, Any]) -> None:
        """Change the arguments of `fit` before it begins."""

    def begin(self, model: Any, arguments: Dict[str, Any], steps: Any) -> None:
        """The model is built and the program's callbacks have begun: give all the same state."""

    def callbacks(self, model: Any, arguments: Dict[str, Any]) -> List[Any]:
        """Callbacks for before and after the program's own."""
        return []

    def done(self) -> None:
        """`fit` has ended, by an exception too."""


def wrap(keras: Any, parallel: Parallel) -> None:
    """Put `parallel` into every `fit` of this process."""
    fit = keras.Model.fit
    signature = inspect.signature(fit)
    for name in ("initial_epoch", "callbacks"):
        signature.parameters[name]

    class Beginning(keras.callbacks.Callback):
        """Comes after the program's callbacks, which may bring weights and an epoch to go on from."""

        def __init__(self, arguments: Dict[str, Any]) -> None:
            super().__init__()
            self.arguments = arguments

        def on_train_begin(self, logs: Any = None) -> None:
            or_refuse(keras, self._begin)

        def _begin(self) -> None:
            model, optimizer = self.model, self.model.optimizer
            if optimizer is not None and not optimizer.built:
                optimizer.build(model.trainable_variables)
            if hasattr(model, "_initial_epoch"):  # set by keras.callbacks.BackupAndRestore
                epoch = parallel.first_ones(model._initial_epoch or 0)
                model._initial_epoch = epoch or None
            parallel.begin(model, self.arguments, (self.params or {}).get("steps"))

    @functools.wraps(fit)
    def together(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = bound.arguments

        def prepare() -> None:
            own = arguments["initial_epoch"]
            arguments["initial_epoch"] = parallel.first_ones(own)
            if own != arguments["initial_epoch"]:
                print(
                    f"[regatta] goes on from epoch {arguments['initial_epoch']}, as the first process does", flush=True
                )
            parallel.prepare(self, arguments)
            given = arguments["callbacks"]
            container = isinstance(given, keras.callbacks.CallbackList)
            own_callbacks = given.callbacks if container else _flat(given)
            around = parallel.callbacks(self, dict(arguments, callbacks=own_callbacks))
            before, after = around[:1], [*around[1:], Beginning(arguments)]
            if container:
                for callback in (*before, *after):
                    callback.set_model(self)
                    callback.set_params(given.params)
                given.callbacks[:] = [*before, *own_callbacks, *after]
            else:
                arguments["callbacks"] = [*before, *own_callbacks, *after]

        try:
            or_refuse(keras, prepare)
            return fit(*bound.args, **bound.kwargs)
        finally:
            parallel.done()

    keras.Model.fit = together


def state(model: Any) -> List[Any]:
    """The variables that make a model and its optimizer what they are, each once."""
    optimizer = model.optimizer
    variables = [*model.variables, *(optimizer.variables if optimizer is not None else [])]
    return list({id(variable): variable for variable in variables if variable.name != SEEDS}.values())


def _flat(callbacks: Any) -> List[Any]:
    if callbacks is None:
        return []
    if isinstance(callbacks, (list, tuple)):
        return [callback for some in callbacks for callback in _flat(some)]
    return [callbacks]
