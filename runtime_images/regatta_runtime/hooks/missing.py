"""Ends a process at once whose image lacks the framework of its job: no restart would find it there."""

from __future__ import annotations

from regatta_runtime.hooks.imports import when_missing
from regatta_runtime.hooks.refusal import refuse

# What a program of each framework imports, and how that is called. A framework not listed is nobody's to miss.
PACKAGES = {
    "PyTorch": ("torch", "PyTorch"),
    "TensorFlow": ("tensorflow", "TensorFlow"),
    "Keras": ("keras", "Keras"),
    "Horovod": ("horovod", "Horovod"),
}


def watch(framework: str, anyway: str) -> None:
    """Refuse when an import of the framework's package finds nothing."""
    if framework not in PACKAGES:
        return
    package, name = PACKAGES[framework]
    words = (
        f"this image has no {name} (`import {package}` finds nothing): leave spec.image out for the installation's "
        f"own, or name an image that has it; {anyway}"
    )
    when_missing(package, lambda: refuse(words))
