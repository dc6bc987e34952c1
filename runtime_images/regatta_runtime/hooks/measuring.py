"""Puts the measuring of a process in place, whatever it imports: each library's hooks wait for its import."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from regatta_runtime.hooks import keras_steps, tensorflow_steps, torch_steps
from regatta_runtime.hooks.imports import Hook, after_import
from regatta_runtime.measure import meter as meters
from regatta_runtime.measure.readings import plain_version

# Whose version is told of each framework.
PACKAGES = {"PyTorch": "torch.version", "TensorFlow": "tensorflow", "Keras": "keras", "Horovod": "horovod"}


def install(environ: Mapping[str, str], *, samples_per_step: int, steps_done: int) -> None:
    """Measure this process from now on."""
    meter = meters.started(
        meters.Meter(
            samples_per_step=samples_per_step or None,
            known=steps_done,
            full=environ.get("RANK", "0") == "0",
        )
    )
    framework, alone = environ.get("REGATTA_FRAMEWORK"), environ.get("WORLD_SIZE", "1") == "1"
    meter.about(strategy="single" if alone else {"Keras": "keras", "Horovod": "horovod"}.get(framework or "", "other"))
    seen = keras_steps.Seen(meter)
    found: List[Dict[str, Hook]] = [torch_steps.hooks(meter), keras_steps.hooks(meter, seen)]
    found += [
        tensorflow_steps.hooks(meter, seen),
        {"regatta_runtime.data.batches": lambda module: _feed(module, meter)},
    ]
    package = PACKAGES.get(environ.get("REGATTA_FRAMEWORK", ""))
    if package:
        after_import(package, lambda module: meter.about(version=plain_version(getattr(module, "__version__", ""))))
    for hooks in found:
        for module, hook in hooks.items():
            after_import(module, hook)


def _feed(module: Any, meter: meters.Meter) -> None:
    """Regatta's own feed; behind a Dataset it works in another thread, and the Dataset's iterator is measured."""
    module.Batches._next = meters.fetching(meter, module.Batches._next, count=lambda batch: int(batch.count))
