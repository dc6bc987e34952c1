"""Networks of every layer that the runtime reads, with random weights, and what OpenCV computes with them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from tests.caffe.writer import Array, NetWriter

__all__ = ["CASES", "Case", "archive", "case", "computed"]


@dataclass(frozen=True, slots=True)
class Case:
    """A network, inputs for it, and the outputs that OpenCV computes."""

    prototxt: str
    caffemodel: bytes
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def computed(prototxt: str, caffemodel: bytes, inputs: dict[str, Array], outputs: list[str]) -> dict[str, Array]:
    """Outputs of a network by OpenCV's own reader and layers."""
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(prototxt.encode(), np.uint8), np.frombuffer(caffemodel, np.uint8))
    for name, values in inputs.items():
        net.setInput(values, name)
    # As the file has them: fusing layers gives other roundings.
    net.enableFusion(False)
    return {name: np.array(values) for name, values in zip(outputs, net.forward(outputs), strict=True)}


class Draw:
    """Random weights and settings, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def array(self, *shape: int, low: float = -1, high: float = 1) -> Array:
        return self.random.uniform(low, high, shape).astype(np.float32)

    def between(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def one(self, *values: str) -> str:
        return values[self.between(0, len(values) - 1)]


Made = tuple[NetWriter, list[str]]
"""A network and the names of its outputs."""


def image(draw: Draw, channels: int | None = None) -> NetWriter:
    sides = (draw.between(9, 13), draw.between(9, 13))
    return NetWriter({"data": (draw.between(1, 2), channels or draw.between(2, 5), *sides)})


def convolution(draw: Draw) -> Made:
    group = draw.between(1, 3)
    net = image(draw, channels=2 * group)
    outputs, kernel = group * draw.between(1, 3), (draw.between(1, 4), draw.between(1, 4))
    same = draw.one("both", "each")
    text = f"num_output: {outputs} group: {group} dilation: {draw.between(1, 2)}"
    if same == "both":
        kernel = (kernel[0], kernel[0])
        text += f" kernel_size: {kernel[0]} pad: {draw.between(0, 2)} stride: {draw.between(1, 3)}"
    else:
        text += f" kernel_h: {kernel[0]} kernel_w: {kernel[1]} pad_h: {draw.between(0, 2)} pad_w: {draw.between(0, 2)}"
        text += f" stride_h: {draw.between(1, 3)} stride_w: {draw.between(1, 3)}"
    blobs = [draw.array(outputs, 2, *kernel)]
    if draw.between(0, 1):
        blobs.append(draw.array(outputs))
    else:
        text += " bias_term: false"
    return net.add("Convolution", "conv", "data", parameters=f"convolution_param {{ {text} }}", blobs=blobs), ["conv"]


def deconvolution(draw: Draw) -> Made:
    group = draw.between(1, 2)
    net = image(draw, channels=2 * group)
    outputs, kernel = group * draw.between(1, 3), (draw.between(2, 4), draw.between(2, 4))
    text = f"num_output: {outputs} group: {group} kernel_h: {kernel[0]} kernel_w: {kernel[1]}"
    text += f" pad_h: {draw.between(0, 1)} pad_w: {draw.between(0, 1)}"
    text += f" stride_h: {draw.between(1, 3)} stride_w: {draw.between(1, 3)}"
    blobs = [draw.array(2 * group, outputs // group, *kernel), draw.array(outputs)]
    return net.add("Deconvolution", "up", "data", parameters=f"convolution_param {{ {text} }}", blobs=blobs), ["up"]


def pooling(draw: Draw) -> Made:
    net, names = image(draw), []
    for method in ("MAX", "AVE"):
        kernel = (draw.between(1, 4), draw.between(1, 4))
        pad = [draw.between(0, size - 1) for size in kernel]
        # A stride beyond the kernel may leave Caffe a last window with nothing in it.
        stride = [draw.between(1, size) for size in kernel]
        text = f"pool: {method} kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]}"
        net.add(
            "Pooling", method, "data", parameters=f"pooling_param {{ {text} pad_h: {pad[0]} pad_w: {pad[1]} }}"
        ).add("Pooling", f"all{method}", "data", parameters=f"pooling_param {{ pool: {method} global_pooling: true }}")
        names += [method, f"all{method}"]
    return net, names


def activations(draw: Draw) -> Made:
    net = image(draw)
    channels = net.inputs["data"][1]
    net.add("ReLU", "relu", "data").add("ReLU", "leaky", "data", parameters="relu_param { negative_slope: 0.2 }")
    net.add("PReLU", "prelu", "data", blobs=[draw.array(channels)])
    net.add("PReLU", "shared", "data", parameters="prelu_param { channel_shared: true }", blobs=[draw.array(1)])
    net.add("Sigmoid", "sigmoid", "data").add("TanH", "tanh", "data").add("ELU", "elu", "data")
    net.add("AbsVal", "abs", "data").add("Power", "power", "data", parameters="power_param { scale: -0.5 shift: 2 }")
    net.add("Power", "square", "data", parameters="power_param { power: 2 scale: 3 shift: 1 }")
    return net, ["relu", "leaky", "prelu", "shared", "sigmoid", "tanh", "elu", "abs", "power", "square"]


def lrn(draw: Draw) -> Made:
    net = image(draw, channels=7)
    size, alpha, beta = draw.one("1", "3", "5"), draw.one("0.0001", "0.5"), draw.one("0.75", "0.5")
    text = f"local_size: {size} alpha: {alpha} beta: {beta}"
    # OpenCV takes 1 for k, whatever the file says, and another alpha than Caffe's where it says none.
    net.add("LRN", "across", "data", parameters=f"lrn_param {{ {text} }}")
    net.add("LRN", "within", "data", parameters=f"lrn_param {{ {text} norm_region: WITHIN_CHANNEL }}")
    return net, ["across", "within"]


def normalisation(draw: Draw) -> Made:
    """BatchNorm with Caffe's factor, Scale with and without bias, in place and not, and by a second blob."""
    net = image(draw)
    channels = net.inputs["data"][1]
    statistics = [
        draw.array(channels),
        draw.array(channels, low=0.5, high=2),
        np.array([draw.between(1, 999)], np.float32),
    ]
    statistics[0] *= statistics[2]
    statistics[1] *= statistics[2]
    net.add("BatchNorm", "norm", "data", parameters="batch_norm_param { eps: 0.01 }", blobs=statistics)
    biased = [draw.array(channels), draw.array(channels)]
    net.add("Scale", "affine", "norm", "norm", parameters="scale_param { bias_term: true }", blobs=biased)
    net.add("Scale", "scale", "norm", blobs=[draw.array(channels)])
    net.add("Pooling", "pool", "norm", parameters="pooling_param { pool: AVE global_pooling: true }")
    net.add("Flatten", "flat", "pool").add("Scale", "gated", ["norm", "flat"], parameters="scale_param { axis: 0 }")
    return net, ["scale", "gated"]


def combinations(draw: Draw) -> Made:
    net = image(draw, channels=4)
    net.add("Power", "other", "data", parameters="power_param { scale: -2 shift: 0.3 }")
    net.add("Eltwise", "sum", ["data", "other"])
    net.add(
        "Eltwise",
        "weighted",
        ["data", "other", "sum"],
        parameters="eltwise_param { operation: SUM coeff: 0.5 coeff: -1 coeff: 2 }",
    )
    net.add("Eltwise", "product", ["data", "weighted"], parameters="eltwise_param { operation: PROD }")
    net.add("Eltwise", "max", ["data", "other", "product"], parameters="eltwise_param { operation: MAX }")
    net.add("Concat", "channels", ["max", "data"])
    net.add("Concat", "rows", ["max", "data"], parameters="concat_param { axis: 2 }")
    net.add("Slice", "cut", "channels", ["head", "tail"], "slice_param { slice_point: 3 }")
    net.add("Slice", "halves", "rows", ["left", "right"], "slice_param { axis: 1 }")
    net.add("Softmax", "prob", "tail").add("Split", "split", "left", ["one", "two"])
    net.add("Eltwise", "twice", ["one", "two"]).add("ReLU", "first", "head").add("ReLU", "second", "right")
    return net, ["first", "prob", "second", "twice"]


def shapes(draw: Draw) -> Made:
    net = image(draw, channels=6)
    net.add("Reshape", "folded", "data", parameters="reshape_param { shape { dim: 0 dim: 3 dim: -1 dim: 0 } }")
    net.add("Reshape", "pairs", "data", parameters="reshape_param { shape { dim: 2 dim: 3 } axis: 1 num_axes: 1 }")
    net.add("Flatten", "flat", "data").add(
        "Flatten", "part", "data", parameters="flatten_param { axis: 2 end_axis: 3 }"
    )
    net.add("Dropout", "same", "flat", parameters="dropout_param { dropout_ratio: 0.3 }")
    return net, ["folded", "pairs", "part", "same"]


def dense(draw: Draw) -> Made:
    net = image(draw)
    size = int(np.prod(net.inputs["data"][1:]))
    text = "inner_product_param { num_output: %d %s }"
    net.add(
        "InnerProduct",
        "fc1",
        "data",
        parameters=text % (8, ""),
        blobs=[draw.array(8, size, low=-0.05, high=0.05), draw.array(8)],
    )
    net.add("ReLU", "relu1", "fc1", "fc1").add("Dropout", "drop1", "fc1", "fc1")
    net.add("InnerProduct", "fc2", "fc1", parameters=text % (5, "bias_term: false"), blobs=[draw.array(5, 8)])
    net.add("Softmax", "prob", "fc2")
    return net, ["prob"]


def old(draw: Draw) -> Made:
    """The older spelling, with blobs of four dimensions."""
    net = NetWriter({"data": (2, 3, 12, 12)}, old=True, encoding="legacy")
    blobs = [draw.array(4, 3, 3, 3), draw.array(4)]
    net.add("Convolution", "conv", "data", parameters="convolution_param { num_output: 4 kernel_size: 3 }", blobs=blobs)
    net.add("ReLU", "relu", "conv", "conv").add(
        "LRN", "norm", "conv", parameters="lrn_param { local_size: 3 alpha: 0.1 }"
    )
    net.add("Pooling", "pool", "norm", parameters="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    net.add("Concat", "both", ["pool", "pool"], parameters="concat_param { concat_dim: 1 }")
    blobs = [draw.array(5, 200, low=-0.05, high=0.05), draw.array(5)]
    net.add("InnerProduct", "fc", "both", parameters="inner_product_param { num_output: 5 }", blobs=blobs)
    return net.add("Softmax", "prob", "fc"), ["prob"]


CASES: dict[str, Callable[[Draw], Made]] = {
    "activations": activations,
    "combinations": combinations,
    "convolution": convolution,
    "deconvolution": deconvolution,
    "dense": dense,
    "lrn": lrn,
    "normalisation": normalisation,
    "old": old,
    "pooling": pooling,
    "shapes": shapes,
}


def case(name: str, seed: int) -> Case:
    """One network of a kind, and its outputs."""
    draw = Draw(seed)
    net, outputs = CASES[name](draw)
    inputs = {each: draw.array(*shape, low=-2, high=2) for each, shape in net.inputs.items()}
    if not net.old and seed % 3:
        net.encoding = "single" if seed % 3 == 1 else "packed"
    return Case(net.prototxt, net.caffemodel, inputs, computed(net.prototxt, net.caffemodel, inputs, outputs))


def archive(names: Iterable[str], seeds: Iterable[int]) -> bytes:
    """A zip file with a folder for each network: its two files, its inputs, and its outputs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for folder, each in ((f"{name}-{seed}", case(name, seed)) for name in names for seed in seeds):
            packed.writestr(f"{folder}/deploy.prototxt", each.prototxt)
            packed.writestr(f"{folder}/weights.caffemodel", each.caffemodel)
            for title, arrays in (("inputs", each.inputs), ("outputs", each.outputs)):
                content = io.BytesIO()
                np.savez(content, **arrays)
                packed.writestr(f"{folder}/{title}.npz", content.getvalue())
    return file.getvalue()
