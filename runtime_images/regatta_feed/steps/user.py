"""python: the user's own step, a function of their own module."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, StepError
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind
from regatta_feed.steps.values import numbers

__all__ = ["Python"]


@dataclass(frozen=True, slots=True)
class Python:
    """Call `function(value, random)` and go on with the array that it returns.

    The value is an array, or the bytes of the source where nothing has decoded them. `random` is a numpy Generator
    that belongs to the sample and the epoch: who draws from it alone gets the same in every run. A ValueError means
    that the sample is damaged; any other exception ends the feed.
    """

    name: ClassVar = "python"
    takes: ClassVar = Kind.ANY
    random: ClassVar = True
    module: str
    function: str

    @classmethod
    def read(cls, params: Params) -> Self:
        module, function = (params.text(name, limit=256) for name in ("module", "function"))
        if not all(part.isidentifier() for part in module.split(".")):
            raise params.fail("module", "must be the name of a module, such as my_package.steps")
        if not function.isidentifier():
            raise params.fail("function", "must be the name of a function in the module")
        return cls(module, function)

    def gives(self, kind: Kind) -> Kind:
        return Kind.ANY

    def apply(self, item: Item, draws: Draws) -> None:
        value = item.value if isinstance(item.value, bytes) else numbers(item.value)
        where = f"the step python ({self.module}.{self.function})"
        function = _loaded(self.module, self.function)
        try:
            result = function(value, draws.generator())
        except ValueError as error:
            raise DamagedError("python", f"{item.name}: {where}: {error}") from error
        except Exception as error:
            raise StepError(f"{where} failed with {item.name}: {type(error).__name__}: {error}") from error
        if not isinstance(result, np.ndarray | bytes):
            raise StepError(f"{where} must return a numpy array, not {type(result).__name__}")
        item.value = result


@functools.cache
def _loaded(module: str, function: str) -> Callable[[Any, np.random.Generator], Any]:
    try:
        found = getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise StepError(f"the step python: {error}; put the module's folder on PYTHONPATH") from error
    except AttributeError as error:
        raise StepError(f"the step python: {module} has no {function}") from error
    if not callable(found):
        raise StepError(f"the step python: {module}.{function} is not a function")
    return found
