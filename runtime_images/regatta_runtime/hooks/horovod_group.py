"""Looks whether a process of a Horovod job trains through Horovod, with all the others.

`hvd.init()` must find everybody. At the first optimizer step Horovod must be initialised, and the gradients must go
through it: by a distributed optimizer, or by a reduction that the program asked for before the step.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Dict, Optional

from regatta_runtime.hooks import group
from regatta_runtime.hooks.imports import Hook

OTHERS = tuple(name for name in group.OTHERS if name != "horovod")
# What every reduction of gradients ends in; a broadcast or the sum of a metric through other functions is none.
REDUCTIONS = {
    "torch": (
        *("_allreduce_async", "_grouped_allreduce_async", "_allgather_async", "_grouped_allgather_async"),
        *("_reducescatter_async", "_grouped_reducescatter_async"),
    ),
    "tensorflow": (
        *("_allreduce", "_grouped_allreduce", "allgather", "grouped_allgather"),
        *("_reducescatter", "_grouped_reducescatter"),
    ),
}
WRAP = {
    "torch": "optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters())",
    "tensorflow": "optimizer = hvd.DistributedOptimizer(optimizer), or tape = hvd.DistributedGradientTape(tape)",
}
CALLS = {"torch": "horovod.torch", "tensorflow": "horovod.tensorflow"}


class Seen:
    """What this process has done with Horovod so far."""

    def __init__(self, *, world: int, gpus: int) -> None:
        self.world = world
        self.gpus = gpus
        self.basics: Any = None  # Horovod's own answer to all questions, once it was initialised
        self.reduced = False
        self.unknown = False  # a Horovod whose reductions cannot be seen
        self.aside = False  # in the step by which Horovod itself makes an optimizer's first state

    def size_problem(self) -> Optional[str]:
        """Why the group that Horovod made is not the job's."""
        size = self.basics.size()
        if size == self.world:
            return None
        return (
            f"hvd.init() made a group of {size}, but the job has {self.world} training processes; call it without "
            "arguments, and leave HOROVOD_SIZE and its like to Regatta"
        )

    def step_problem(self, library: str, optimizer: Any) -> Optional[str]:
        """Why this optimizer's first step would train something else than the job."""
        if self.world > 1:
            if self.basics is None or not self.basics.is_initialized():
                return (
                    "this program takes its first optimizer step without Horovod, but the job has "
                    f"{self.world} training processes; write `import {CALLS[library]} as hvd; hvd.init()`"
                )
            if not (self.reduced or self.unknown or type(optimizer).__module__.startswith("horovod.")):
                return (
                    "this program takes its first optimizer step with gradients that Horovod has not seen, so each of "
                    f"the {self.world} processes would train alone; write `{WRAP[library]}`"
                )
        return self.size_problem() or self._gpu_problem(library) if self.basics else self._gpu_problem(library)

    def _gpu_problem(self, library: str) -> Optional[str]:
        build = sys.modules[library]
        if not self.gpus or group.sees_gpu(library, build):
            return None
        return group.no_gpu(self.gpus, f"{library} {build.__version__}")


def hooks(*, workers: int, world: int, gpus: int) -> Dict[str, Hook]:
    """The modules after whose import something is put in place, and what."""
    seen = Seen(world=world, gpus=gpus)
    return {
        **({"horovod.runner.launch": _on_launcher} if workers > 1 else {}),
        "horovod.common.util": _on_extensions,
        "horovod.common.basics": lambda module: _on_init(module, seen),
        "horovod.torch.functions": lambda module: _on_broadcast(module, seen),
        "horovod.torch.mpi_ops": lambda module: _on_reductions(module, seen, REDUCTIONS["torch"]),
        "horovod.tensorflow.mpi_ops": lambda module: _on_reductions(module, seen, REDUCTIONS["tensorflow"]),
        "torch.optim.optimizer": lambda module: _on_torch_steps(module, seen),
        "keras.src.optimizers.base_optimizer": lambda module: _on_keras(module.BaseOptimizer, "apply", seen),
        "tf_keras.src.optimizers.optimizer": lambda module: _on_keras(module.Optimizer, "apply_gradients", seen),
    }


def _on_launcher(module: ModuleType) -> None:
    """`horovodrun` starts a whole group, and each worker's would be one of its own."""
    group.enforce(
        lambda: (
            "horovodrun reaches other workers by ssh, which pods do not offer; write the training script itself as the "
            "command, such as [python, train.py]: Regatta starts the processes of all workers"
        ),
        others=OTHERS,
    )


def _on_extensions(module: ModuleType) -> None:
    """Horovod is compiled against some frameworks, and an image may have it for others than the program's."""
    check = module.check_extension

    def checked(name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return check(name, *args, **kwargs)
        except ImportError as missing:
            words = str(missing).split(":", 1)[0]
            library = name.rpartition(".")[2]
            group.enforce(
                lambda: f"{words}: this image's Horovod was not built for {library}; use an image whose Horovod is",
                others=OTHERS,
            )
            raise

    module.check_extension = checked  # type: ignore[attr-defined]


def _on_init(module: ModuleType, seen: Seen) -> None:
    initialise = module.HorovodBasics.init

    def init(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = initialise(self, *args, **kwargs)
        seen.basics = self
        group.enforce(seen.size_problem, others=OTHERS)
        return result

    module.HorovodBasics.init = init


def _on_reductions(module: ModuleType, seen: Seen, names: Any) -> None:
    if not all(hasattr(module, name) for name in names):
        seen.unknown = True
        return
    for name in names:
        setattr(module, name, _noting(getattr(module, name), seen))


def _on_broadcast(module: ModuleType, seen: Seen) -> None:
    broadcast = module.broadcast_optimizer_state

    def broadcast_optimizer_state(*args: Any, **kwargs: Any) -> Any:
        seen.aside = True
        try:
            return broadcast(*args, **kwargs)
        finally:
            seen.aside = False

    module.broadcast_optimizer_state = broadcast_optimizer_state  # type: ignore[attr-defined]


def _noting(reduce: Any, seen: Seen) -> Any:
    def noted(*args: Any, **kwargs: Any) -> Any:
        seen.reduced = True
        return reduce(*args, **kwargs)

    return noted


def _on_torch_steps(module: ModuleType, seen: Seen) -> None:
    looked = False

    def before(optimizer: Any, *_: Any) -> None:
        nonlocal looked
        if not looked and not seen.aside:
            looked = True
            group.enforce(lambda: seen.step_problem("torch", optimizer), others=OTHERS)

    module.register_optimizer_step_pre_hook(before)


def _on_keras(owner: Any, name: str, seen: Seen) -> None:
    """Look before the first call of a method, then put the method back."""
    method = getattr(owner, name)

    def looked_at(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(owner, name) is looked_at:
            setattr(owner, name, method)
            group.enforce(lambda: seen.step_problem("tensorflow", self), others=OTHERS)
        return method(self, *args, **kwargs)

    setattr(owner, name, looked_at)
