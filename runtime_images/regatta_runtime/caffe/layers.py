"""From a layer's fields and blobs to its torch module: one function for each type, listed in `BUILDERS`.

A field that is not known is refused, for it may change what the layer computes. Sizes come from the weights and are
compared with the definition, so a definition that lies cannot make this allocate more than the file holds.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import nn

from regatta_runtime.caffe import functions
from regatta_runtime.caffe.definition import Layer
from regatta_runtime.caffe.errors import CaffeError, DefinitionError, UnsupportedLayerError
from regatta_runtime.caffe.prototxt import Message
from regatta_runtime.caffe.wire import Blob

FAR = 65_535
"""No kernel, stride or padding is larger."""

Blobs = List[torch.Tensor]


def build(layer: Layer, blobs: Sequence[Blob]) -> nn.Module:
    """The module of a layer, with its weights in it."""
    if layer.kind not in BUILDERS:
        raise UnsupportedLayerError(layer.name, layer.kind)
    builder, low, high = BUILDERS[layer.kind]
    if not low <= len(layer.bottoms) <= high:
        raise DefinitionError(f"layer {layer.name!r} of type {layer.kind} takes {len(layer.bottoms)} blobs")
    if not layer.tops or (len(layer.tops) > 1 and layer.kind not in ("Slice", "Split")):
        raise UnsupportedLayerError(layer.name, layer.kind, f"number of tops ({len(layer.tops)})")
    try:
        return builder(layer, [_tensor(blob) for blob in blobs])
    except CaffeError:
        raise
    except (RuntimeError, ValueError) as problem:  # torch's own objections
        raise DefinitionError(f"layer {layer.name!r} of type {layer.kind}: {problem}") from None


def _convolution(layer: Layer, blobs: Blobs) -> nn.Module:
    transposed = layer.kind == "Deconvolution"
    fields = _parameters(
        layer,
        "convolution_param",
        "num_output bias_term pad pad_h pad_w kernel_size kernel_h kernel_w stride stride_h stride_w "
        "dilation group axis",
        "weight_filler bias_filler engine force_nd_im2col",
    )
    if fields.whole("axis", 1, low=-FAR) not in (1, -3):
        raise UnsupportedLayerError(layer.name, layer.kind, "axis")
    kernel = _pair(layer, fields, "kernel_size", "kernel", None, low=1)
    group, outputs = fields.whole("group", 1, low=1), fields.whole("num_output", 0)
    weight, bias = _weights(layer, blobs, fields.flag("bias_term", True), axes=4)
    given = weight.shape[1] * group if transposed else weight.shape[0]
    if given != outputs or tuple(weight.shape[2:]) != kernel or weight.shape[0] % group or given % group:
        raise DefinitionError(
            f"layer {layer.name!r}: its weights have the shape {list(weight.shape)}, and the definition says {outputs} "
            f"outputs, a kernel of {list(kernel)} and {group} groups; the two files belong to different networks"
        )
    module = nn.utils.skip_init(
        nn.ConvTranspose2d if transposed else nn.Conv2d,
        weight.shape[0] if transposed else weight.shape[1] * group,
        outputs,
        kernel,
        stride=_pair(layer, fields, "stride", "stride", 1, low=1),
        padding=_pair(layer, fields, "pad", "pad", 0, low=0),
        dilation=_pair(layer, fields, "dilation", "", 1, low=1),
        groups=group,
        bias=bias is not None,
    )
    return _filled(layer, module, weight, bias)


def _inner_product(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(
        layer, "inner_product_param", "num_output bias_term axis transpose", "weight_filler bias_filler"
    )
    weight, bias = _weights(layer, blobs, fields.flag("bias_term", True), axes=2)
    if fields.flag("transpose", False):
        weight = weight.t().contiguous()
    outputs = fields.whole("num_output", 0)
    if weight.shape[0] != outputs:
        raise DefinitionError(
            f"layer {layer.name!r}: its weights have {weight.shape[0]} outputs, and the definition says {outputs}; "
            "the two files belong to different networks"
        )
    module = nn.utils.skip_init(functions.InnerProduct, weight.shape[1], outputs, bias=bias is not None)
    module.axis = fields.whole("axis", 1, low=-FAR, high=FAR)
    return _filled(layer, module, weight, bias)


def _pooling(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(
        layer,
        "pooling_param",
        "pool pad pad_h pad_w kernel_size kernel_h kernel_w stride stride_h stride_w "
        "global_pooling round_mode ceil_mode",
        "engine",
    )
    method = _choice(layer, fields, "pool", "MAX", "MAX", "AVE")
    floor = _choice(layer, fields, "round_mode", "CEIL", "CEIL", "FLOOR") == "FLOOR"
    floor = floor or not fields.flag("ceil_mode", True)
    stride = _pair(layer, fields, "stride", "stride", 1, low=1)
    pad = _pair(layer, fields, "pad", "pad", 0, low=0)
    kernel = None
    if not fields.flag("global_pooling", False):
        kernel = _pair(layer, fields, "kernel_size", "kernel", None, low=1)
        if pad[0] >= kernel[0] or pad[1] >= kernel[1]:
            raise DefinitionError(f"layer {layer.name!r}: the padding {list(pad)} is not less than {list(kernel)}")
    return functions.Pooling(method, kernel, stride, pad, floor)


def _relu(layer: Layer, blobs: Blobs) -> nn.Module:
    slope = _parameters(layer, "relu_param", "negative_slope", "engine").number("negative_slope", 0.0)
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def _prelu(layer: Layer, blobs: Blobs) -> nn.Module:
    _parameters(layer, "prelu_param", "channel_shared", "filler")
    weight, _ = _weights(layer, blobs, bias=False, axes=1)
    return _filled(layer, nn.utils.skip_init(nn.PReLU, weight.shape[0]), weight, None)


def _elu(layer: Layer, blobs: Blobs) -> nn.Module:
    return nn.ELU(_parameters(layer, "elu_param", "alpha").number("alpha", 1.0))


def _sigmoid(layer: Layer, blobs: Blobs) -> nn.Module:
    _parameters(layer, "sigmoid_param", "", "engine")
    return nn.Sigmoid()


def _tanh(layer: Layer, blobs: Blobs) -> nn.Module:
    _parameters(layer, "tanh_param", "", "engine")
    return nn.Tanh()


def _power(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "power_param", "power scale shift")
    return functions.Power(fields.number("power", 1.0), fields.number("scale", 1.0), fields.number("shift", 0.0))


def _lrn(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "lrn_param", "local_size alpha beta norm_region k", "engine")
    size = fields.whole("local_size", 5, low=1, high=FAR)
    alpha, beta = fields.number("alpha", 1.0), fields.number("beta", 0.75)
    if size % 2 == 0:
        raise DefinitionError(f"layer {layer.name!r}: local_size is {size} and must be odd")
    if (
        _choice(layer, fields, "norm_region", "ACROSS_CHANNELS", "ACROSS_CHANNELS", "WITHIN_CHANNEL")
        == "WITHIN_CHANNEL"
    ):
        return functions.LrnWithinChannel(size, alpha, beta)
    return nn.LocalResponseNorm(size, alpha=alpha, beta=beta, k=fields.number("k", 1.0))


def _batch_norm(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "batch_norm_param", "use_global_stats moving_average_fraction eps")
    if len(blobs) != 3:
        raise _missing(layer, blobs, 3)
    mean, variance, factor = (blob.flatten() for blob in blobs)
    if mean.shape != variance.shape or len(factor) != 1:
        raise DefinitionError(f"layer {layer.name!r}: its blobs have the shapes {[list(blob.shape) for blob in blobs]}")
    momentum = 1 - fields.number("moving_average_fraction", 0.999)
    frozen = fields.flag("use_global_stats", False)
    module = functions.BatchNorm(len(mean), fields.number("eps", 1e-5), momentum, frozen)
    # Caffe adds statistics up and keeps the sum of their weights beside them; 0 is that of a net never trained.
    scale = 0.0 if factor[0] == 0 else 1 / factor[0]
    module.running_mean.copy_(mean * scale)
    module.running_var.copy_(variance * scale)
    return module


def _scale(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "scale_param", "axis num_axes bias_term", "filler bias_filler")
    axis = fields.whole("axis", 1, low=-FAR, high=FAR)
    biased = fields.flag("bias_term", False)
    wanted = (len(layer.bottoms) == 1) + biased
    if len(blobs) != wanted:
        raise _missing(layer, blobs, wanted)
    weight = blobs[0] if len(layer.bottoms) == 1 else None
    count = fields.whole("num_axes", 1, low=-1, high=FAR)
    # Old files give every blob four axes; those of size 1 in front are none of its own.
    if weight is not None and count >= 0:
        weight = weight.reshape(weight.shape[weight.dim() - count :]) if weight.dim() > count else weight
    bias = blobs[-1] if biased else None
    if bias is not None and weight is not None:
        if bias.numel() != weight.numel():
            raise DefinitionError(f"layer {layer.name!r}: its blobs have the shapes {[list(b.shape) for b in blobs]}")
        bias = bias.reshape(weight.shape)
    return functions.Scale(axis, weight, bias)


def _eltwise(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "eltwise_param", "operation coeff", "stable_prod_grad")
    operation = _choice(layer, fields, "operation", "SUM", "SUM", "PROD", "MAX")
    coefficients = fields.numbers("coeff")
    if coefficients and (operation != "SUM" or len(coefficients) != len(layer.bottoms)):
        raise DefinitionError(f"layer {layer.name!r}: coeff is for SUM, with one number for each bottom")
    return functions.Eltwise(operation, coefficients)


def _concat(layer: Layer, blobs: Blobs) -> nn.Module:
    return functions.Concat(_axis(_parameters(layer, "concat_param", "axis concat_dim"), "concat_dim"))


def _slice(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "slice_param", "axis slice_dim slice_point")
    points = fields.wholes("slice_point")
    if points and len(points) != len(layer.tops) - 1:
        raise DefinitionError(f"layer {layer.name!r}: {len(points)} slice points for {len(layer.tops)} tops")
    return functions.Slice(_axis(fields, "slice_dim"), points, len(layer.tops))


def _split(layer: Layer, blobs: Blobs) -> nn.Module:
    return functions.Split(len(layer.tops))


def _dropout(layer: Layer, blobs: Blobs) -> nn.Module:
    ratio = _parameters(layer, "dropout_param", "dropout_ratio", "engine").number("dropout_ratio", 0.5)
    if not 0 <= ratio < 1:
        raise DefinitionError(f"layer {layer.name!r}: dropout_ratio is {ratio} and must be from 0 to below 1")
    return nn.Dropout(ratio)


def _softmax(layer: Layer, blobs: Blobs) -> nn.Module:
    return nn.Softmax(_axis(_parameters(layer, "softmax_param", "axis", "engine")))


def _flatten(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "flatten_param", "axis end_axis")
    return functions.Flatten(_axis(fields), fields.whole("end_axis", -1, low=-FAR, high=FAR))


def _reshape(layer: Layer, blobs: Blobs) -> nn.Module:
    fields = _parameters(layer, "reshape_param", "shape axis num_axes")
    shape = fields.message("shape").wholes("dim", low=-1)
    axis = fields.whole("axis", 0, low=-FAR, high=FAR)
    return functions.Reshape(shape, axis, fields.whole("num_axes", -1, low=-1, high=FAR))


def _abs_val(layer: Layer, blobs: Blobs) -> nn.Module:
    return functions.AbsVal()


MANY = 10_000
# How a layer is built, and how many blobs it takes: at least, at most.
BUILDERS: Dict[str, Tuple[Callable[[Layer, Blobs], nn.Module], int, int]] = {
    "AbsVal": (_abs_val, 1, 1),
    "BatchNorm": (_batch_norm, 1, 1),
    "Concat": (_concat, 1, MANY),
    "Convolution": (_convolution, 1, 1),
    "Deconvolution": (_convolution, 1, 1),
    "Dropout": (_dropout, 1, 1),
    "ELU": (_elu, 1, 1),
    "Eltwise": (_eltwise, 2, MANY),
    "Flatten": (_flatten, 1, 1),
    "InnerProduct": (_inner_product, 1, 1),
    "LRN": (_lrn, 1, 1),
    "PReLU": (_prelu, 1, 1),
    "Pooling": (_pooling, 1, 1),
    "Power": (_power, 1, 1),
    "ReLU": (_relu, 1, 1),
    "Reshape": (_reshape, 1, 1),
    "Scale": (_scale, 1, 2),
    "Sigmoid": (_sigmoid, 1, 1),
    "Slice": (_slice, 1, 1),
    "Softmax": (_softmax, 1, 1),
    "Split": (_split, 1, 1),
    "TanH": (_tanh, 1, 1),
}


def _parameters(layer: Layer, name: str, known: str, harmless: str = "") -> Message:
    """A layer's own message, which may have no other fields than these; the harmless ones change no result."""
    fields = layer.fields.message(name)
    other = fields.only(*known.split(), *harmless.split())
    if other is not None:
        raise UnsupportedLayerError(layer.name, layer.kind, f"{name}.{other}")
    return fields


def _choice(layer: Layer, fields: Message, name: str, default: str, *known: str) -> str:
    word = fields.word(name, default)
    if word not in known:
        raise UnsupportedLayerError(layer.name, layer.kind, f"{name} {word}")
    return word


def _axis(fields: Message, old_name: str = "") -> int:
    """The axis, 1 unless told otherwise; some layers have an older name for it, too."""
    if old_name and old_name in fields:
        return fields.whole(old_name, 1, high=FAR)
    return fields.whole("axis", 1, low=-FAR, high=FAR)


def _pair(layer: Layer, fields: Message, both: str, each: str, default: Optional[int], *, low: int) -> Tuple[int, int]:
    """Height and width: `both` once or twice, or `each`_h and `each`_w."""
    if each and (each + "_h" in fields or each + "_w" in fields):
        if both in fields:
            raise DefinitionError(f"layer {layer.name!r}: give {both}, or {each}_h and {each}_w, not all of them")
        fallback = low if default is None else default
        return fields.whole(each + "_h", fallback, low, FAR), fields.whole(each + "_w", fallback, low, FAR)
    values = fields.wholes(both, low, FAR) or ([] if default is None else [default])
    if len(values) not in (1, 2):
        raise UnsupportedLayerError(layer.name, layer.kind, f"{both} with {len(values)} values (of 1 or 2)")
    return values[0], values[-1]


def _weights(layer: Layer, blobs: Blobs, bias: bool, axes: int) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
    """Weight with this many axes, and bias with one."""
    if len(blobs) != 1 + bias:
        raise _missing(layer, blobs, 1 + bias)
    weight = blobs[0]
    # Old files give every blob four axes, the first ones of size 1.
    surplus = weight.dim() - axes
    if surplus < 0 or any(size != 1 for size in weight.shape[:surplus]):
        weight = weight.flatten() if axes == 1 else weight
        if weight.dim() != axes:
            raise DefinitionError(
                f"layer {layer.name!r}: its weights have the shape {list(blobs[0].shape)}, and not {axes} axes"
            )
    else:
        weight = weight.reshape(weight.shape[surplus:])
    return weight, blobs[1].flatten() if bias else None


def _filled(layer: Layer, module: nn.Module, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> nn.Module:
    pairs = [("weight", weight)] + ([("bias", bias)] if bias is not None else [])
    for name, values in pairs:
        parameter = getattr(module, name)
        if parameter.shape != values.shape:
            raise DefinitionError(
                f"layer {layer.name!r}: its {name} has the shape {list(values.shape)}, not {list(parameter.shape)}"
            )
        setattr(module, name, nn.Parameter(values))
    return module


def _missing(layer: Layer, blobs: Blobs, wanted: int) -> DefinitionError:
    if not blobs:
        return DefinitionError(
            f"there are no weights of layer {layer.name!r} in the file; load the definition that belongs to it, "
            "and then put a layer of your own in this one's place: model.replace(name, module)"
        )
    return DefinitionError(f"layer {layer.name!r} of type {layer.kind} has {len(blobs)} blobs, and {wanted} are needed")


def _tensor(blob: Blob) -> torch.Tensor:
    if not blob.data:
        return torch.zeros(blob.shape)
    values = torch.frombuffer(blob.data, dtype=torch.float64 if blob.width == 8 else torch.float32)
    return values.reshape(blob.shape).float()
