"""What happens inside training processes: installed by `site/sitecustomize.py` when their Python starts.

Everything here acts when a framework is imported, and only then; a process that imports none pays a few file look-ups.
"""

from __future__ import annotations

import os
from typing import Mapping, MutableMapping

INSIDE = "REGATTA_HOOKED_BY"  # the process whose Python has the hooks; its children are its own business
CHECK_SWITCH = "REGATTA_GROUP_CHECK"
REPAIR_SWITCH = "REGATTA_KERAS_REPAIR"
MEASURE_SWITCH = "REGATTA_MEASURE"


def install(environ: MutableMapping[str, str]) -> None:
    """Put the hooks of this job's framework in place; nothing outside of a training process."""
    framework = environ.get("REGATTA_FRAMEWORK", "")
    if "REGATTA_GENERATION" not in environ or framework not in ("PyTorch", "TensorFlow"):
        return
    here = str(os.getpid())
    nested = environ.setdefault(INSIDE, here) != here  # a program that executes itself anew is still the same
    from regatta_runtime.hooks.imports import after_import

    if framework == "TensorFlow" and _number(environ, "REGATTA_WORKERS") > 1 and _on(environ, REPAIR_SWITCH):
        from regatta_runtime.hooks import keras_repair

        after_import(keras_repair.MODULE, keras_repair.repair)
    if not nested and framework == "PyTorch" and _on(environ, MEASURE_SWITCH):
        from regatta_runtime.hooks import torch_steps
        from regatta_runtime.measure.meter import Meter

        meter = Meter(samples_per_step=_number(environ, "REGATTA_SAMPLES_PER_STEP") or None)
        for module, hook in torch_steps.hooks(meter).items():
            after_import(module, hook)
    if not nested and _on(environ, CHECK_SWITCH):
        from regatta_runtime.hooks import group

        for module, hook in group.hooks(framework, environ).items():
            after_import(module, hook)


def _on(environ: Mapping[str, str], switch: str) -> bool:
    return environ.get(switch, "").strip().lower() not in ("0", "false", "off", "no")


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
