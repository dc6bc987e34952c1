"""What happens inside training processes: installed by `site/sitecustomize.py` when their Python starts.

Everything here acts when a framework is imported, and only then; a process that imports none pays a few file look-ups.
"""

from __future__ import annotations

import os
from typing import Mapping, MutableMapping

INSIDE = "REGATTA_HOOKED_BY"  # the process whose Python has the hooks; its children are its own business
CHECK_SWITCH = "REGATTA_GROUP_CHECK"
REPAIR_SWITCH = "REGATTA_KERAS_REPAIR"
PARALLEL_SWITCH = "REGATTA_KERAS_PARALLEL"
COMPUTES_WITH = {"torch": "PyTorch", "tensorflow": "TensorFlow"}  # Keras does, by its backend
MEASURE_SWITCH = "REGATTA_MEASURE"


def install(environ: MutableMapping[str, str]) -> None:
    """Put the hooks of this job's framework in place; nothing outside of a training process."""
    framework, backend = environ.get("REGATTA_FRAMEWORK", ""), environ.get("REGATTA_KERAS_BACKEND", "")
    keras = framework == "Keras"
    library = COMPUTES_WITH.get(backend, "") if keras else framework
    if "REGATTA_GENERATION" not in environ or library not in (*COMPUTES_WITH.values(), "Horovod"):
        return
    here = str(os.getpid())
    nested = environ.setdefault(INSIDE, here) != here  # a program that executes itself anew is still the same
    parallel = keras and _on(environ, PARALLEL_SWITCH)
    from regatta_runtime.hooks.imports import after_import

    if library == "TensorFlow" and _number(environ, "REGATTA_WORKERS") > 1 and _on(environ, REPAIR_SWITCH):
        from regatta_runtime.hooks import keras_repair

        after_import(keras_repair.MODULE, keras_repair.repair)
    if not nested and _on(environ, MEASURE_SWITCH):
        from regatta_runtime.hooks import measuring

        measuring.install(
            environ,
            samples_per_step=_number(environ, "REGATTA_SAMPLES_PER_STEP"),
            steps_done=_number(environ, "REGATTA_STEPS_DONE"),
        )
    if keras and not nested:
        from regatta_runtime.hooks import keras_job

        keras_job.install(backend, environ, parallel=parallel, checked=_on(environ, CHECK_SWITCH))
    if not nested and _on(environ, CHECK_SWITCH):
        from regatta_runtime.hooks import group, missing

        missing.watch(framework, group.ANYWAY)
        # Where Keras's processes are made one on PyTorch, that looks at the group itself, once it has joined it.
        looked_at = parallel and _number(environ, "WORLD_SIZE") > 1
        for module, hook in group.hooks(library, environ, keras=keras and not looked_at).items():
            after_import(module, hook)


def _on(environ: Mapping[str, str], switch: str) -> bool:
    return environ.get(switch, "").strip().lower() not in ("0", "false", "off", "no")


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
