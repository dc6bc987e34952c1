"""Framework Keras: looks, when Keras was imported, whether it computes as the job says, and makes its processes one.

What is done for several processes depends on the backend, and lives in a module for each.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import ModuleType
from typing import Any, Callable, Mapping, NoReturn

from regatta_runtime.hooks.imports import after_import, before_import
from regatta_runtime.hooks.refusal import refuse

ALONE = "REGATTA_KERAS_PARALLEL=0 in spec.env leaves Keras as it is"


def install(backend: str, environ: Mapping[str, str], *, parallel: bool, checked: bool) -> None:
    """Act after the imports of Keras; without `parallel` only look at the backend. `checked`: at the group, too."""
    # Before: the image may not even have another backend, and Keras would fail without a word of the job.
    before_import("keras", lambda: _compare(os.environ.get("KERAS_BACKEND") or backend, backend))
    after_import("keras", lambda keras: at_import(keras, lambda: _look(keras, backend)))
    if not parallel:
        return
    if backend == "tensorflow":
        from regatta_runtime.hooks import keras_strategy

        keras_strategy.install(environ)
    elif int(environ["WORLD_SIZE"]) > 1:
        after_import("keras", lambda keras: _on_torch(keras, environ, checked))


def _on_torch(keras: ModuleType, environ: Mapping[str, str], checked: bool) -> None:
    from regatta_runtime.hooks import keras_torch

    at_import(keras, lambda: keras_torch.install(keras, environ, checked=checked))


def at_import(keras: Any, do: Callable[[], Any]) -> None:
    """Do it, or end this process: an exception in an import's hook is only told of, and N copies would train."""
    try:
        or_refuse(keras, do)
    except Exception as problem:
        die(problem)


def or_refuse(keras: Any, do: Callable[[], Any]) -> Any:
    """Do it; a library that changed must not make N copies of one training.

    Other errors are the program's own, such as that of a group in which another process has died.
    """
    try:
        return do()
    except (AttributeError, ImportError, LookupError, TypeError) as problem:
        traceback.print_exc()
        version = getattr(keras, "__version__", "unknown")
        refuse(
            f"several processes cannot train together with this Keras ({version}): {type(problem).__name__}: "
            f"{problem}; use another version, or one process ({ALONE})"
        )


def die(problem: BaseException) -> NoReturn:
    """End this process as an error of its own would; inside of an import an exception would only be told of."""
    traceback.print_exception(type(problem), problem, problem.__traceback__)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _look(keras: Any, backend: str) -> None:
    version = str(getattr(keras, "__version__", "unknown"))
    if not version.startswith("3."):
        refuse(f"this job needs Keras 3, and the image has Keras {version}; framework TensorFlow runs older ones")
    _compare(keras.config.backend(), backend)


def _compare(uses: str, backend: str) -> None:
    if uses != backend:
        refuse(
            f"Keras computes with {uses} in this program, and spec.kerasBackend is {backend}: leave KERAS_BACKEND and "
            f"keras.json to Regatta, or write kerasBackend: {uses}"
        )
