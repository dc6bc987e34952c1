"""Frameworks: to add one, write a file beside this one and a line in the table."""

from __future__ import annotations

from typing import Final

from regatta.api import spec as api
from regatta.plan.frameworks.base import Framework
from regatta.plan.frameworks.custom import Custom
from regatta.plan.frameworks.horovod import Horovod
from regatta.plan.frameworks.keras import Keras
from regatta.plan.frameworks.pytorch import PyTorch
from regatta.plan.frameworks.tensorflow import TensorFlow

__all__ = ["Framework", "framework_for"]

FRAMEWORKS: Final[dict[api.Framework, Framework]] = {
    api.Framework.PYTORCH: PyTorch(),
    api.Framework.TENSORFLOW: TensorFlow(),
    api.Framework.HOROVOD: Horovod(),
    api.Framework.KERAS: Keras(),
    api.Framework.CUSTOM: Custom(),
}


def framework_for(name: api.Framework) -> Framework:
    """Return the framework of that name; KeyError for one that validation refuses anyway."""
    return FRAMEWORKS[name]
