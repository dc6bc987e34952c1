"""Callbacks that stand around a program's own on PyTorch: what those see, and what they decide, is the same everywhere.

`processes` is `keras_torch.Processes`. Ranks that stopped at different epochs would wait for each other for ever.
"""

from __future__ import annotations

from typing import Any

from regatta_runtime.hooks.keras_job import or_refuse
from regatta_runtime.hooks.refusal import refuse


def kinds(keras: Any) -> Any:
    """The callbacks' classes: before the program's own, after them, and after them where they look at batches."""

    class Before(keras.callbacks.Callback):
        def __init__(self, processes: Any, sampler: Any) -> None:
            super().__init__()
            self.processes = processes
            self.sampler = sampler
            self.settled = False
            self.beginning = (0, 0)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.settled = False
            self.beginning = self._done_so_far()
            if self.sampler is not None:  # a DistributedSampler shuffles in the same order until it is told
                self.sampler.set_epoch(epoch)

        def on_test_begin(self, logs: Any = None) -> None:
            or_refuse(keras, self._settle)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            or_refuse(keras, self._settle)
            if logs is not None:
                or_refuse(keras, lambda: self.processes.mean_logs(logs))

        def _settle(self) -> None:
            if self.settled:
                return
            self.settled = True
            steps, averaged = (now - then for now, then in zip(self._done_so_far(), self.beginning))
            if steps and not averaged:
                refuse(
                    f"this Keras ({keras.__version__}) updates its weights without the mean of all processes' "
                    "gradients; use another version, or one process"
                )
            self.processes.settle(self.model)

        def _done_so_far(self) -> Any:
            optimizer = self.model.optimizer
            steps = 0 if optimizer is None else int(optimizer.iterations)
            return steps, self.processes.reductions(self.model)

    class After(keras.callbacks.Callback):
        def __init__(self, processes: Any) -> None:
            super().__init__()
            self.processes = processes

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.agree()

        def agree(self) -> None:
            self.model.stop_training = self.processes.any_of_all(bool(self.model.stop_training))

    class AfterBatches(After):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.agree()

    return Before, After, AfterBatches


def looks_at_batches(keras: Any, callback: Any) -> bool:
    """Whether a callback of the program may stop the training after a batch."""
    default = keras.callbacks.Callback
    names = ("on_batch_end", "on_train_batch_end")
    return any(getattr(getattr(callback, n, None), "__func__", None) is not getattr(default, n) for n in names)
