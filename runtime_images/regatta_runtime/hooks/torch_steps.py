"""Measures PyTorch programs: optimizer steps, waits for a DataLoader, checkpoints, evaluation, the rendezvous."""

from __future__ import annotations

import functools
from typing import Any, Dict

from regatta_runtime.hooks.counted import Counted
from regatta_runtime.hooks.imports import Hook
from regatta_runtime.measure.meter import Meter, attempt, fetching, restoring, saving, timed
from regatta_runtime.measure.position import CHECKPOINT, OPTIMIZER
from regatta_runtime.measure.states import DATA_WAIT, EVAL, RENDEZVOUS

DTYPES = {"torch.float32": "float32", "torch.float64": "float64", "torch.float16": "float16"}


def hooks(meter: Meter) -> Dict[str, Hook]:
    """The modules after whose import something is put in place, and what."""
    return {
        "torch.optim.optimizer": lambda module: _steps(module, meter),
        "torch.utils.data.dataloader": lambda module: _batches(module, meter),
        # Before `torch` takes them over as torch.save and torch.load.
        "torch.serialization": lambda module: _files(module, meter),
        "torch.distributed.checkpoint.state_dict_saver": lambda module: _distributed_save(module, meter),
        "torch.distributed.checkpoint.state_dict_loader": lambda module: _distributed_load(module, meter),
        "torch.distributed.distributed_c10d": lambda module: _rendezvous(module, meter),
        "torch.nn.modules.module": lambda module: _modes(module, meter),
        "torch.nn.parallel.distributed": lambda module: _strategy(module.DistributedDataParallel, meter, "ddp"),
        "torch.distributed.fsdp.fully_sharded_data_parallel": (
            lambda module: _strategy(module.FullyShardedDataParallel, meter, "fsdp")
        ),
        "torch.amp.autocast_mode": lambda module: _autocast(module, meter),
        "safetensors.torch": lambda module: _safetensors(module, meter),
        "lightning.pytorch.trainer.trainer": lambda module: _lightning(module, meter),
        "pytorch_lightning.trainer.trainer": lambda module: _lightning(module, meter),
        "lightning.pytorch.loops.evaluation_loop": lambda module: _lightning_evaluation(module, meter),
        "pytorch_lightning.loops.evaluation_loop": lambda module: _lightning_evaluation(module, meter),
        "horovod.torch.functions": lambda module: _horovod(module, meter),
        "transformers.trainer": lambda module: _transformers(module, meter),
    }


def _files(module: Any, meter: Meter) -> None:
    module.save = saving(meter, module.save, path=1)
    module.load = restoring(meter, module.load, look=lambda found: _told_step(found, meter))


def _safetensors(module: Any, meter: Meter) -> None:
    module.save_file = saving(meter, module.save_file, path=1)
    module.load_file = restoring(meter, module.load_file)


def _distributed_save(module: Any, meter: Meter) -> None:
    module.save = saving(meter, module.save)


def _distributed_load(module: Any, meter: Meter) -> None:
    module.load = restoring(meter, module.load)


def _rendezvous(module: Any, meter: Meter) -> None:
    module.init_process_group = timed(meter, module.init_process_group, RENDEZVOUS)


def _told_step(checkpoint: Any, meter: Meter) -> None:
    """Where a checkpoint was taken, if it says so: `step` beside an `epoch` may count from that epoch's beginning."""
    if not isinstance(checkpoint, dict):
        return
    told = checkpoint.get("global_step")
    if told is None and "epoch" not in checkpoint:
        told = checkpoint.get("step")
    if isinstance(told, int) and not isinstance(told, bool):
        meter.position.says(CHECKPOINT, told, steps=meter.steps)


def _steps(module: Any, meter: Meter) -> None:
    counted = Counted()
    unread = True  # whether the optimizer has still to be asked how many steps it knows of
    begun = False  # an optimizer around another one (Horovod's) ends its step right after that one's
    load = module.Optimizer.load_state_dict

    def before(*_: Any) -> None:
        nonlocal begun
        begun = True

    def after(optimizer: Any, *_: Any) -> None:
        nonlocal unread, begun
        if not begun or not meter.here():
            return
        begun = False
        if meter.aside:
            return
        try:
            if not counted.is_it(optimizer):
                return
            if unread:
                unread = False
                _look(optimizer, meter)
            meter.step()
        except Exception as problem:
            meter.fail(problem)

    @functools.wraps(load)
    def load_state_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal unread
        result = load(self, *args, **kwargs)
        if meter.here():
            unread = True
            meter.position.restored()
        return result

    module.register_optimizer_step_pre_hook(before)
    module.register_optimizer_step_post_hook(after)
    module.Optimizer.load_state_dict = load_state_dict


def _look(optimizer: Any, meter: Meter) -> None:
    """Learn from an optimizer that has just made a step how many it made in its life, and in what it computes."""
    group = optimizer.param_groups[0]["params"]
    if "precision" not in meter.words and group:
        dtype = str(group[0].dtype)
        meter.about(precision=DTYPES.get(dtype, dtype.rpartition(".")[2]))
    for parameter in group:
        done = optimizer.state.get(parameter, {}).get("step")
        if done is not None:
            meter.position.says(OPTIMIZER, int(done), steps=meter.steps + 1)
            return


def _batches(module: Any, meter: Meter) -> None:
    iterator, loader = module._BaseDataLoaderIter, module.DataLoader
    iterator.__next__ = fetching(meter, iterator.__next__)
    # Starting its workers is a wait for data as well.
    loader.__iter__ = timed(meter, loader.__iter__, DATA_WAIT)


def _modes(module: Any, meter: Meter) -> None:
    train, load = module.Module.train, module.Module.load_state_dict
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

    @functools.wraps(load)
    def load_state_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
        if meter.here():
            meter.restored()
        return load(self, *args, **kwargs)

    module.Module.train = measured
    module.Module.load_state_dict = load_state_dict


def _strategy(kind: Any, meter: Meter, word: str) -> None:
    made = kind.__init__

    @functools.wraps(made)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        meter.about(strategy=word)
        made(self, *args, **kwargs)

    kind.__init__ = init


def _autocast(module: Any, meter: Meter) -> None:
    entered = module.autocast.__enter__

    @functools.wraps(entered)
    def enter(self: Any) -> Any:
        result = entered(self)
        if self._enabled and meter.words.get("precision", "")[:6] != "mixed_":
            attempt(meter, lambda: meter.about(precision="mixed_" + str(self.fast_dtype).rpartition(".")[2]))
        return result

    module.autocast.__enter__ = enter


def _lightning(module: Any, meter: Meter) -> None:
    """It makes a checkpoint in memory and writes it afterwards: all of that is saving."""
    module.Trainer.save_checkpoint = saving(meter, module.Trainer.save_checkpoint, path=1)


def _lightning_evaluation(module: Any, meter: Meter) -> None:
    """It switches its model back to training where no hook sees it."""
    loop = module._EvaluationLoop
    loop.run = timed(meter, loop.run, EVAL)


def _horovod(module: Any, meter: Meter) -> None:
    """It makes an optimizer's first state by a step with gradients of zero."""
    broadcast = module.broadcast_optimizer_state

    @functools.wraps(broadcast)
    def broadcast_optimizer_state(*args: Any, **kwargs: Any) -> Any:
        meter.aside = True
        try:
            return broadcast(*args, **kwargs)
        finally:
            meter.aside = False

    module.broadcast_optimizer_state = broadcast_optimizer_state


def _transformers(module: Any, meter: Meter) -> None:
    trainer, state = module.Trainer, module.TrainerState
    # It switches its model back to training when it has fetched the next batch already.
    trainer.evaluate, trainer.predict = timed(meter, trainer.evaluate, EVAL), timed(meter, trainer.predict, EVAL)
    trainer._save_checkpoint = saving(meter, trainer._save_checkpoint)
    load = state.load_from_json

    def load_from_json(*args: Any, **kwargs: Any) -> Any:
        found = load(*args, **kwargs)
        attempt(meter, lambda: meter.position.says(CHECKPOINT, int(found.global_step), steps=meter.steps))
        return found

    state.load_from_json = staticmethod(load_from_json)
