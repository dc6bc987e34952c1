"""The torch module that a definition and its weights become: its layers, run in the order of the definition."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple, Union

import torch
from torch import nn

from regatta_runtime.caffe import layers
from regatta_runtime.caffe.definition import Definition, Layer
from regatta_runtime.caffe.errors import DefinitionError
from regatta_runtime.caffe.wire import Blob


class CaffeNet(nn.Module):
    """A network whose modules have the names of the Caffe layers; takes its inputs in order.

    Returns the blobs that `outputs` names: a tensor if that is one, else a dictionary. Where torch cannot take a name
    (a dot in it, or a method called so) its module has `_` instead, or behind it.
    """

    def __init__(self, definition: Definition, weights: Dict[str, List[Blob]]) -> None:
        super().__init__()
        self.inputs = dict(definition.inputs)
        self.outputs = definition.outputs
        self._steps: List[Tuple[str, Tuple[str, ...], Tuple[str, ...]]] = []
        self._named: Dict[str, List[str]] = {}
        shared: Dict[str, Tuple[nn.Module, str]] = {}
        for layer in definition.layers:
            module = layers.build(layer, weights.get(layer.name, []))
            _share(layer, module, shared)
            name = layer.name.replace(".", "_") or "unnamed"
            while hasattr(self, name):
                name += "_"
            self.add_module(name, module)
            self._named.setdefault(layer.name, []).append(name)
            self._steps.append((name, layer.bottoms, layer.tops))

    def forward(self, *inputs: torch.Tensor) -> Union[torch.Tensor, Dict[str, torch.Tensor]]:
        """The outputs for one tensor per input."""
        if len(inputs) != len(self.inputs):
            raise TypeError(
                f"the network takes {len(self.inputs)} inputs ({', '.join(self.inputs)}), not {len(inputs)}"
            )
        blobs = dict(zip(self.inputs, inputs))
        wanted = set(self.outputs)
        last = {blob: at for at, (_, bottoms, tops) in enumerate(self._steps) for blob in (*bottoms, *tops)}
        for at, (name, bottoms, tops) in enumerate(self._steps):
            made = getattr(self, name)(*(blobs[blob] for blob in bottoms))
            blobs.update(zip(tops, made if isinstance(made, tuple) else (made,)))
            for blob in {*bottoms, *tops}:
                if last[blob] == at and blob not in wanted:
                    del blobs[blob]  # nobody needs it any more
        results = {blob: blobs[blob] for blob in self.outputs}
        return results if len(results) != 1 else next(iter(results.values()))

    def layer(self, name: str) -> nn.Module:
        """The module of a layer, by the name that it has in the definition."""
        module: nn.Module = getattr(self, self._attribute(name))
        return module

    def replace(self, name: str, module: nn.Module) -> None:
        """Put another module in a layer's place: a last layer with other classes, or `torch.nn.Identity()`."""
        setattr(self, self._attribute(name), module)

    def _attribute(self, name: str) -> str:
        found = self._named.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise KeyError(f"{len(found)} layers are called {name!r}; their modules are {', '.join(found)}")
        raise KeyError(f"no layer is called {name!r}; there are {', '.join(self._named)}")


def _share(layer: Layer, module: nn.Module, shared: Dict[str, Tuple[nn.Module, str]]) -> None:
    """Let layers that give their weights the same name have the same weights, while they train as well."""
    for part, name in zip(("weight", "bias"), _weight_names(layer)):
        if not name or getattr(module, part, None) is None:
            continue
        if name not in shared:
            shared[name] = (module, part)
            continue
        owner = getattr(*shared[name])
        if owner.shape != getattr(module, part).shape:
            raise DefinitionError(f"layer {layer.name!r} shares {name!r} with another layer, but in another shape")
        setattr(module, part, owner)


def _weight_names(layer: Layer) -> Sequence[str]:
    try:
        return [each.text("name") for each in layer.fields.messages("param")]
    except DefinitionError:  # `layers` have the names themselves there
        return layer.fields.texts("param")
