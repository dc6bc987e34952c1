"""Measures PyTorch programs: optimizer steps, waits for a DataLoader, checkpoints, evaluation, the rendezvous."""

from __future__ import annotations

import functools
import weakref
from types import ModuleType
from typing import Any, Callable, Dict, Optional

from regatta_runtime.hooks.imports import Hook
from regatta_runtime.measure.meter import Meter, timed
from regatta_runtime.measure.states import CHECKPOINT_RESTORE, CHECKPOINT_SAVE, DATA_WAIT, RENDEZVOUS


def hooks(meter: Meter) -> Dict[str, Hook]:
    """The modules after whose import something is put in place, and what."""
    return {
        "torch.optim.optimizer": lambda module: _steps(module, meter),
        "torch.utils.data.dataloader": lambda module: _batches(module, meter),
        # Before `torch` takes them over as torch.save and torch.load.
        "torch.serialization": lambda module: _replace(module, meter, save=CHECKPOINT_SAVE, load=CHECKPOINT_RESTORE),
        "torch.distributed.distributed_c10d": lambda module: _replace(module, meter, init_process_group=RENDEZVOUS),
        "torch.nn.modules.module": lambda module: _modes(module, meter),
    }


def _replace(module: ModuleType, meter: Meter, **states: str) -> None:
    for name, state in states.items():
        setattr(module, name, timed(meter, getattr(module, name), state))


def _steps(module: ModuleType, meter: Meter) -> None:
    counted: Optional[Callable[[], Any]] = None  # the optimizer whose steps are the program's
    others = 0  # steps of others since the last of its own

    def after(optimizer: Any, *_: Any) -> None:
        nonlocal counted, others
        if not meter.here():
            return
        try:
            mine = counted() if counted is not None else None
            # A program with several optimizers makes one step with each; one that begins anew has a new optimizer.
            if mine is None or others > 16:
                counted, mine = weakref.ref(optimizer), optimizer
            if optimizer is not mine:
                others += 1
                return
            others = 0
            meter.step()
        except Exception as problem:
            meter.fail(problem)

    module.register_optimizer_step_post_hook(after)  # type: ignore[attr-defined]


def _batches(module: Any, meter: Meter) -> None:
    iterator = module._BaseDataLoaderIter
    following = iterator.__next__
    loader = module.DataLoader

    @functools.wraps(following)
    def measured(self: Any) -> Any:
        if not meter.here():
            return following(self)
        meter.enter(DATA_WAIT)
        try:
            batch = following(self)
        finally:
            meter.leave()
        try:
            meter.batch(batch)
        except Exception as problem:
            meter.fail(problem)
        return batch

    iterator.__next__ = measured
    # Starting its workers is a wait for data as well.
    loader.__iter__ = timed(meter, loader.__iter__, DATA_WAIT)


def _modes(module: Any, meter: Meter) -> None:
    train = module.Module.train
    inside = False  # `train` calls itself for each part of a model

    @functools.wraps(train)
    def measured(self: Any, mode: bool = True) -> Any:
        nonlocal inside
        if inside or not meter.here():
            return train(self, mode)
        inside = True
        try:
            return train(self, mode)
        finally:
            inside = False
            meter.evaluate(not mode)

    module.Module.train = measured
