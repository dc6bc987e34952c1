"""Looks, at the first optimizer step, whether this process trains in the group that its job is told to be.

A program that never joins the others trains N times alone and looks like a success; a build without GPUs on a node that
pays for eight looks like a slow one. Both end here, before the first step has changed a weight.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from regatta_runtime.hooks.imports import Hook
from regatta_runtime.hooks.refusal import refuse

# Libraries that bring groups or devices of their own: nothing is known of them, so nothing is concluded.
OTHERS = ("horovod", "torch_xla", "habana_frameworks", "mpi4py")
ANYWAY = "to train anyway, set REGATTA_GROUP_CHECK to 0 in spec.env"

KERAS = "keras.src.optimizers.base_optimizer"

Check = Callable[[], Optional[str]]


def hooks(library: str, environ: Mapping[str, str], *, keras: bool = False) -> Dict[str, Hook]:
    """The modules after whose import something is put in place, and what; `keras`: its optimizers on torch count."""
    workers, processes, gpus = _sizes(environ)
    if workers * processes < 2 and not gpus:
        return {}
    if library == "Horovod":
        from regatta_runtime.hooks import horovod_group

        return horovod_group.hooks(workers=workers, world=workers * processes, gpus=gpus)
    if library == "PyTorch":
        on_torch = torch_check(environ)
        found: Dict[str, Hook] = {"torch.optim.optimizer": lambda module: _on_torch_steps(module, on_torch)}
        if keras:
            found[KERAS] = lambda module: _first_call(module.BaseOptimizer, "apply", on_torch)
        return found
    check = _tensorflow(workers, gpus)
    return {
        "tensorflow.python.distribute.collective_all_reduce_strategy": lambda module: _on_strategies(module, workers),
        KERAS: lambda module: _first_call(module.BaseOptimizer, "apply", check),
        "tf_keras.src.optimizers.optimizer": lambda module: _first_call(module.Optimizer, "apply_gradients", check),
    }


def _sizes(environ: Mapping[str, str]) -> Tuple[int, int, int]:
    workers, processes, gpus = (int(environ.get(f"REGATTA_{n}") or 0) for n in ("WORKERS", "PROCESSES", "GPUS"))
    return workers, processes, gpus


def enforce(check: Check, *, others: Sequence[str] = OTHERS) -> None:
    """End this process if there is a reason to, unless a library is there of which nothing is known."""
    if any(name in sys.modules for name in others):
        return
    try:
        why = check()
    except Exception as problem:  # a library that changed: nothing is known, so nothing is concluded
        print(f"[regatta] the group could not be looked at: {type(problem).__name__}: {problem}", file=sys.stderr)
        return
    if why:
        refuse(f"{why}; {ANYWAY}")


def torch_check(environ: Mapping[str, str]) -> Check:
    """What is looked at in a PyTorch process: the group that it has joined, and its GPUs."""
    workers, processes, gpus = _sizes(environ)
    world = workers * processes

    def check() -> Optional[str]:
        torch = sys.modules["torch"]
        distributed = torch.distributed
        joined = distributed.is_available() and distributed.is_initialized()
        size = distributed.get_world_size() if joined else 1
        if size != world:
            alone = (
                "without having called torch.distributed.init_process_group" if not joined else f"in a group of {size}"
            )
            return f"this program takes its first optimizer step {alone}, but the job has {world} training processes"
        if gpus and not sees_gpu("torch", torch):
            return no_gpu(gpus, f"torch {torch.__version__}")
        return None

    return check


def _on_torch_steps(module: ModuleType, check: Check) -> None:
    looked = False

    def before(*_: Any) -> None:
        nonlocal looked
        if not looked:
            looked = True
            enforce(check)

    module.register_optimizer_step_pre_hook(before)


def _tensorflow(workers: int, gpus: int) -> Check:
    def check() -> Optional[str]:
        tensorflow = sys.modules["tensorflow"]
        size = getattr(tensorflow.distribute.get_strategy().extended, "_num_workers", 1)
        if size != workers:
            return (
                f"this program trains outside of a strategy of {workers} workers; make the model and compile it inside "
                "`with tf.distribute.MultiWorkerMirroredStrategy().scope():`"
            )
        if gpus and not sees_gpu("tensorflow", tensorflow):
            return no_gpu(gpus, f"tensorflow {tensorflow.__version__}")
        return None

    return check


def _on_strategies(module: ModuleType, workers: int) -> None:
    made = module.CollectiveAllReduceStrategy.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        size = self.extended._num_workers
        enforce(
            lambda: (
                f"MultiWorkerMirroredStrategy found {size} workers, and the job has {workers}: leave TF_CONFIG and "
                "the cluster resolver to Regatta"
                if size != workers
                else None
            )
        )

    module.CollectiveAllReduceStrategy.__init__ = init


def _first_call(owner: Any, name: str, check: Check) -> None:
    """Look before the first call of a method, then put the method back."""
    method = getattr(owner, name)

    def looked_at(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(owner, name) is looked_at:
            setattr(owner, name, method)
            enforce(check)
        return method(self, *args, **kwargs)

    setattr(owner, name, looked_at)


def sees_gpu(library: str, module: Any) -> bool:
    """Whether torch or tensorflow sees any device that is no CPU."""
    if library == "torch":
        accelerator = getattr(module, "accelerator", None)
        return bool(module.cuda.is_available() or (accelerator is not None and accelerator.is_available()))
    return any(device.device_type != "CPU" for device in module.config.list_physical_devices())


def no_gpu(gpus: int, build: str) -> str:
    """That the framework's build sees none of the GPUs which the worker holds."""
    return f"this worker holds {gpus} GPUs and {build} sees none: is its image built for CPUs? (spec.gpusPerWorker)"
