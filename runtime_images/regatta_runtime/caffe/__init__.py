"""Models from Caffe as trainable PyTorch modules: `load("deploy.prototxt", "weights.caffemodel")`.

Needs torch and nothing else, and loads it only when a model is loaded. Which layers are read, and what Caffe computes
otherwise than torch, is in docs/caffe.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regatta_runtime.caffe.errors import CaffeError, DamagedFileError, DefinitionError, UnsupportedLayerError

if TYPE_CHECKING:
    from regatta_runtime.caffe.net import CaffeNet

__all__ = ["CaffeError", "DamagedFileError", "DefinitionError", "UnsupportedLayerError", "load"]


def load(prototxt: str, caffemodel: str, phase: str = "TEST") -> CaffeNet:
    """The network of a definition and its weights, on the CPU and in evaluation mode; raises `CaffeError`."""
    from regatta_runtime.caffe import definition, wire
    from regatta_runtime.caffe import prototxt as text
    from regatta_runtime.caffe.net import CaffeNet

    try:
        defined = definition.define(text.read(prototxt), phase)
    except DefinitionError as problem:
        raise DefinitionError(f"{prototxt}: {problem}") from None
    return CaffeNet(defined, wire.read_weights(caffemodel)).eval()
