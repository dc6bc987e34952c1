"""Keras on PyTorch: `model.fit` of one process becomes that of all, with the same meaning as on TensorFlow.

Arrays are dealt out, `batch_size` is that of all processes together, gradients are averaged before the optimizer uses
them, and whatever callbacks decide upon is the same everywhere. Outside of `fit` nothing is known of the data: there an
optimizer works only for a model of which the program says that it trains in parallel.
"""

from __future__ import annotations

import functools
import sys
import weakref
from typing import Any, Dict, List, Mapping, Optional

from regatta_runtime.hooks import group as checks
from regatta_runtime.hooks import keras_callbacks, keras_data, keras_fit, keras_saving
from regatta_runtime.hooks.keras_job import or_refuse
from regatta_runtime.hooks.refusal import refuse
from regatta_runtime.hooks.torch_gradients import Gradients
from regatta_runtime.hooks.torch_group import Group

DEFAULT_BATCH = 32  # what Keras takes for arrays where fit is given no batch_size

installed: Optional[Processes] = None


def install(keras: Any, environ: Mapping[str, str], *, checked: bool) -> None:
    """Make `fit` and the optimizers of this Keras work for all processes of the job."""
    global installed
    torch = sys.modules["torch"]
    __import__("torch.utils.data.distributed")
    joined = Group(torch, environ)
    joined.take_device()
    installed = Processes(keras, joined, checks.torch_check(environ) if checked else None)
    _wrap_optimizers(keras, installed)
    keras_fit.wrap(keras, installed)
    keras_saving.wrap(keras)


def _wrap_optimizers(keras: Any, processes: Processes) -> None:
    base = keras.optimizers.Optimizer
    for kind in {value for value in vars(keras.optimizers).values() if isinstance(value, type)}:
        if kind is base or (issubclass(kind, base) and "apply" in vars(kind)):
            kind.apply = processes.around(kind.apply)


class Processes(keras_fit.Parallel):
    """What `fit` and the optimizers ask of several PyTorch processes."""

    def __init__(self, keras: Any, group: Group, check: Optional[checks.Check]) -> None:
        self._keras = keras
        self._group = group
        self._check = check
        self._fits = 0  # that go on: a callback may train another model
        self._applying = False
        self._gradients: weakref.WeakKeyDictionary[Any, Gradients] = weakref.WeakKeyDictionary()
        self._known: Dict[int, Any] = {}  # variables of models outside of fit
        self._callbacks = keras_callbacks.kinds(keras)

    def join(self) -> None:
        """Be in a group of all processes."""
        self._group.join()
        if self._check is not None:
            check, self._check = self._check, None
            checks.enforce(check)

    # Optimizers

    def around(self, apply: Any) -> Any:
        """An optimizer's `apply` that gets the mean of all processes' gradients."""

        @functools.wraps(apply)
        def averaged(optimizer: Any, grads: Any, trainable_variables: Any = None) -> Any:
            if self._applying:  # an optimizer around another one
                return apply(optimizer, grads, trainable_variables)
            variables = None if trainable_variables is None else list(trainable_variables)
            means = self._mean(optimizer, list(grads), variables)
            self._applying = True
            try:
                return apply(optimizer, means, variables)
            finally:
                self._applying = False

        return averaged

    def _mean(self, optimizer: Any, grads: List[Any], variables: Optional[List[Any]]) -> List[Any]:
        if not grads:
            return grads
        if variables is None:
            variables = optimizer._trainable_variables
        gradients = self._gradients.get(optimizer)
        if gradients is None:
            if not self._fits and not all(id(variable) in self._known for variable in variables):
                refuse(
                    f"an optimizer works outside of model.fit, and the job has {self._group.world} processes which "
                    "would each train a model of their own. Give each its own part of the data, and write `regatta_"
                    "runtime.keras.data_parallel(model)` before the first step: it makes the weights the same, and "
                    "the gradients are averaged from then on"
                )
            self.join()
            if optimizer.built:
                self._spread(optimizer.variables)
            gradients = self._gradients[optimizer] = Gradients(self._group.torch, self._group.world)
        return or_refuse(self._keras, lambda: gradients.mean(grads, variables))

    def adopt(self, model: Any) -> None:
        """A model that the program trains without `fit`, with data that it has dealt out itself."""
        if not model.built:
            refuse("regatta_runtime.keras.data_parallel(model) comes too early: build the model first (model.build)")
        self.join()
        self._compare([(tuple(v.shape), str(v.dtype)) for v in model.variables], "models with different variables")
        self._spread([v for v in model.variables if v.name != keras_fit.SEEDS])
        self._known.update((id(variable), variable) for variable in model.variables)

    # fit

    def first_ones(self, number: int) -> int:
        """Rank 0's number."""
        self.join()
        return int(self._group.all(number)[0])

    def prepare(self, model: Any, arguments: Dict[str, Any]) -> None:
        """Deal the data out."""
        self._fits += 1
        world, x = self._group.world, arguments["x"]
        _refuse_sums(self._keras, model)
        data = (x, arguments["y"], arguments["sample_weight"])
        total = keras_data.samples(data)
        given = {name: arguments[name] for name in ("batch_size", "epochs", "steps_per_epoch", "validation_freq")}
        self._compare(
            {**given, "samples": total, "validates": arguments["validation_data"] is not None, "type": str(type(x))},
            "different arguments of model.fit",
        )
        if total is None:
            if not (keras_data.is_part(x) or keras_data.is_sharded_loader(x, world)):
                refuse(f"model.fit was given a {type(x).__name__}, and {keras_data.HELP}")
            return
        share = arguments["validation_split"]
        if share and arguments["validation_data"] is None and 0 < int(total * (1 - share)) < total:
            data, validation = keras_data.split(data, share)
            arguments["validation_data"], arguments["validation_split"] = validation, 0.0
        batch = arguments["batch_size"]
        if batch is None and arguments["steps_per_epoch"] is None:
            batch = DEFAULT_BATCH
        if batch is not None:
            if batch % world:
                refuse(
                    f"batch_size is {batch}, of all {world} processes together, which cannot share it equally: choose "
                    f"a multiple of {world} for model.fit(batch_size=...)"
                )
            arguments["batch_size"] = batch // world
            arguments["validation_batch_size"] = arguments["validation_batch_size"] or batch
        if not keras_data.is_part(x):
            data = keras_data.part(data, rank=self._group.rank, world=world)
        arguments["x"], arguments["y"], arguments["sample_weight"] = data

    def callbacks(self, model: Any, arguments: Dict[str, Any]) -> List[Any]:
        """One before the program's own, for what they look at, and one after, for what they decide."""
        sampler = keras_data.sampler_of(arguments["x"])
        in_batches = [keras_callbacks.looks_at_batches(self._keras, callback) for callback in arguments["callbacks"]]
        looks = any(self._group.all(any(in_batches)))
        before, after, after_batches = self._callbacks
        return [before(self, sampler), (after_batches if looks else after)(self)]

    def begin(self, model: Any, arguments: Dict[str, Any], steps: Any) -> None:
        """All begin as rank 0 does."""
        variables = keras_fit.state(model)
        self._compare(
            {"steps": steps, "variables": [(tuple(v.shape), str(v.dtype)) for v in variables]},
            "different models, or different numbers of batches",
        )
        self._spread(variables)
        if model.optimizer is not None:
            torch, world = self._group.torch, self._group.world
            self._gradients[model.optimizer] = Gradients(torch, world)
            if getattr(model, "jit_compile", False):
                # Not a part of what is compiled: the graph breaks here.
                self._mean = torch.compiler.disable(self._mean)

    def done(self) -> None:
        """Outside of `fit` again."""
        self._fits = max(0, self._fits - 1)

    def reductions(self, model: Any) -> int:
        """How often gradients were averaged for this model's optimizer."""
        gradients = self._gradients.get(model.optimizer) if model.optimizer is not None else None
        return gradients.reductions if gradients is not None else 0

    def settle(self, model: Any) -> None:
        """The end of an epoch's steps: all have come to it, and know the same of the data."""
        gradients = self._gradients.get(model.optimizer) if model.optimizer is not None else None
        if gradients is not None and not gradients.nothing_more():
            refuse("the processes have different numbers of batches in an epoch: give each as many as the others")
        for variable in _statistics(model):
            self._group.mean(variable.value)

    def mean_logs(self, logs: Dict[str, Any]) -> None:
        """Replace numbers by their means over all processes."""
        numbers = {name: float(value) for name, value in logs.items() if isinstance(value, (int, float))}
        told = self._group.all(numbers)
        for name in numbers:
            values = [other[name] for other in told if name in other]
            logs[name] = sum(values) / len(values)

    def any_of_all(self, wish: bool) -> bool:
        """Whether one process at least wishes it."""
        return any(self._group.all(wish))

    def _spread(self, variables: List[Any]) -> None:
        for variable in variables:
            self._group.from_first(variable.value)

    def _compare(self, mine: Any, what: str) -> None:
        told = self._group.all(mine)
        for rank, other in enumerate(told):
            if other != told[0]:
                shown = (
                    ""
                    if not isinstance(other, dict)
                    else ": " + ", ".join(f"{k} {told[0][k]} and {other[k]}" for k in other if other[k] != told[0][k])
                )
                refuse(f"ranks 0 and {rank} have {what}{shown[:500]}")


def _statistics(model: Any) -> List[Any]:
    """What layers learn without gradients, such as the mean in BatchNormalization; not weights that are frozen."""
    found: Dict[int, Any] = {}
    for layer in model._flatten_layers():
        for variable in getattr(layer, "_non_trainable_variables", layer.non_trainable_variables):
            if "float" in str(variable.dtype):
                found[id(variable)] = variable
    return list(found.values())


def _refuse_sums(keras: Any, model: Any) -> None:
    losses: List[Any] = []
    keras_data.structure(losses.append, getattr(model, "loss", None))
    if any(getattr(loss, "reduction", None) == "sum" for loss in losses):
        refuse(
            "a loss with reduction='sum' is one of all processes together, and what is averaged are means: write "
            "reduction='sum_over_batch_size'"
        )
