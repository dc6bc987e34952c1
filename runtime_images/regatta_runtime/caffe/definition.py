"""What a .prototxt defines, as it is for one phase: the layers that compute something, in order, and what goes between.

Layers that feed, judge or watch a network are left out: a training script does that itself. Both spellings of a layer
are read, `layer { type: "Convolution" }` and the older `layers { type: CONVOLUTION }`.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

from regatta_runtime.caffe.errors import DefinitionError
from regatta_runtime.caffe.prototxt import Message

PHASES = ("TEST", "TRAIN")

# Their tops are the network's inputs.
FEEDING = {
    "AnnotatedData",
    "Data",
    "DummyData",
    "HDF5Data",
    "ImageData",
    "Input",
    "MemoryData",
    "VideoData",
    "WindowData",
}
# Losses are the training script's: what remains are the scores that torch's losses want.
ENDING = {
    "Accuracy",
    "ContrastiveLoss",
    "EuclideanLoss",
    "HDF5Output",
    "HingeLoss",
    "InfogainLoss",
    "MultinomialLogisticLoss",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "SoftmaxWithLoss",
}

# The types of V1LayerParameter that are spelled otherwise than by joining their words.
_OLD_TYPES = {
    "ABSVAL": "AbsVal",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "PRELU": "PReLU",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}


class Layer(NamedTuple):
    """A layer: what it is called, what it is, the blobs that it takes and makes, and its fields."""

    name: str
    kind: str
    bottoms: Tuple[str, ...]
    tops: Tuple[str, ...]
    fields: Message


class Definition(NamedTuple):
    """A network: its inputs with their shapes (empty where the file does not say), its layers, and its outputs."""

    name: str
    inputs: Dict[str, Tuple[int, ...]]
    layers: Tuple[Layer, ...]
    outputs: Tuple[str, ...]


def define(net: Message, phase: str) -> Definition:
    """The network in one phase. A `DefinitionError` says what cannot be."""
    if phase not in PHASES:
        raise DefinitionError(f"the phase is {phase!r} and must be one of {', '.join(PHASES)}")
    if "layer" in net and "layers" in net:
        raise DefinitionError("the definition has layers of both spellings, `layer` and `layers`; Caffe takes one")
    fed = _declared_inputs(net)
    kept: List[Layer] = []
    for fields in net.messages("layer") or net.messages("layers"):
        layer = _layer(fields, old="layers" in net)
        if not _included(layer, phase):
            continue
        if layer.kind in FEEDING:
            fed.update(_fed(layer))
        elif layer.kind not in ENDING:
            kept.append(layer)
    if not kept:
        raise DefinitionError(f"no layer computes anything in phase {phase}; is it the definition of a solver?")
    return _connected(net.text("name"), fed, kept)


def _connected(name: str, fed: Dict[str, Tuple[int, ...]], layers: List[Layer]) -> Definition:
    """Check that every layer's blobs come from before it, and find what goes in and what comes out."""
    made: Dict[str, bool] = {}  # whether somebody took it, in the order in which they were made
    inputs: Dict[str, Tuple[int, ...]] = {}
    for layer in layers:
        for blob in layer.bottoms:
            if blob in fed and blob not in made:
                inputs[blob] = fed[blob]
            elif blob not in made:
                raise DefinitionError(f"layer {layer.name!r} takes the blob {blob!r}, which nothing before it makes")
            made[blob] = True
        for blob in layer.tops:
            made.pop(blob, None)
            made[blob] = False
    return Definition(
        name=name,
        inputs={blob: shape for blob, shape in fed.items() if blob in inputs},
        layers=tuple(layers),
        outputs=tuple(blob for blob, taken in made.items() if not taken),
    )


def _layer(fields: Message, old: bool) -> Layer:
    if old and "layer" in fields:
        raise DefinitionError(
            f"line {fields.line}: the definition is of the oldest kind (`layers {{ layer {{ ... }} }}`); "
            "Caffe's upgrade_net_proto_text makes a new one of it"
        )
    name, kind = fields.text("name"), ""
    if "type" not in fields:
        raise DefinitionError(f"line {fields.line}: layer {name!r} has no type")
    if old:
        word = fields.word("type", "")
        kind = _OLD_TYPES.get(word) or "".join(part.capitalize() for part in word.split("_"))
    else:
        kind = fields.text("type")
    return Layer(name, kind, tuple(fields.texts("bottom")), tuple(fields.texts("top")), fields)


def _included(layer: Layer, phase: str) -> bool:
    include, exclude = layer.fields.messages("include"), layer.fields.messages("exclude")
    if include and exclude:
        raise DefinitionError(f"layer {layer.name!r} has both include and exclude rules; Caffe takes one of them")
    if include:
        return any(_meets(rule, phase) for rule in include)
    return not any(_meets(rule, phase) for rule in exclude)


def _meets(rule: Message, phase: str) -> bool:
    """Whether a rule holds for a phase at level 0 without stages."""
    return (
        rule.word("phase", phase) == phase
        and rule.whole("min_level", 0, low=-(2**31)) <= 0 <= rule.whole("max_level", 0, low=-(2**31))
        and not rule.texts("stage")
    )


def _declared_inputs(net: Message) -> Dict[str, Tuple[int, ...]]:
    """Inputs that stand beside the layers: `input: "data"` with `input_shape`, or with four `input_dim`."""
    names = net.texts("input")
    shapes = [tuple(shape.wholes("dim")) for shape in net.messages("input_shape")]
    if not shapes:
        flat = net.wholes("input_dim")
        shapes = [tuple(flat[at : at + 4]) for at in range(0, len(flat), 4)]
    return _paired(names, shapes)


def _fed(layer: Layer) -> Dict[str, Tuple[int, ...]]:
    shapes = [tuple(shape.wholes("dim")) for shape in layer.fields.message("input_param").messages("shape")]
    if len(shapes) == 1:
        shapes *= len(layer.tops)
    return _paired(list(layer.tops), shapes)


def _paired(names: List[str], shapes: List[Tuple[int, ...]]) -> Dict[str, Tuple[int, ...]]:
    return {name: shapes[at] if at < len(shapes) else () for at, name in enumerate(names)}
