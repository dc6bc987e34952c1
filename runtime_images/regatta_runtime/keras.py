"""What a Keras program says of itself where Regatta cannot see it: two words, which mean nothing in a single process.

Outside of a job this module is not there:

    try:
        from regatta_runtime.keras import sharded
    except ImportError:
        def sharded(data): return data
"""

from __future__ import annotations

import sys
from typing import Any

from regatta_runtime.hooks import keras_data
from regatta_runtime.hooks.refusal import refuse

__all__ = ["data_parallel", "sharded"]


def sharded(data: Any) -> Any:
    """Say that each process has given its own part of the data; returns it for `model.fit(sharded(data))`."""
    _refuse_on_tensorflow("sharded")
    return keras_data.mark(data)


def data_parallel(model: Any) -> Any:
    """Let a loop without `fit` train a model together: same weights now, the mean of all gradients in each step.

    All processes call it, after the model is built. The data is the program's business.
    """
    _refuse_on_tensorflow("data_parallel")
    keras_torch = sys.modules.get("regatta_runtime.hooks.keras_torch")
    if keras_torch is not None and keras_torch.installed is not None:
        keras_torch.installed.adopt(model)
    return model


def _refuse_on_tensorflow(word: str) -> None:
    strategy = sys.modules.get("regatta_runtime.hooks.keras_strategy")
    if strategy is not None and strategy.several:
        refuse(
            f"regatta_runtime.keras.{word} is for kerasBackend torch: on tensorflow the strategy deals out what "
            "model.fit is given; leave it out"
        )
