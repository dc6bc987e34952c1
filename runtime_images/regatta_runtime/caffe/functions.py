"""Layers as torch modules, where Caffe computes something else than torch's own module of that name does."""

from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple

import torch
from torch import nn
from torch.nn import functional

Pair = Tuple[int, int]


class Pooling(nn.Module):
    """Pooling by Caffe's rules: sizes are rounded up unless told otherwise, and a last window that would begin behind
    the image and its padding is dropped. An average counts the padding, but not what hangs over behind it."""

    def __init__(self, method: str, kernel: Optional[Pair], stride: Pair, pad: Pair, floor: bool) -> None:
        super().__init__()
        self.method, self.kernel, self.stride, self.pad, self.floor = method, kernel, stride, pad, floor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kernel is None:
            return x.amax((2, 3), keepdim=True) if self.method == "MAX" else x.mean((2, 3), keepdim=True)
        behind = [self._overhang(x.shape[2 + axis], axis) for axis in (0, 1)]
        around = (self.pad[1], behind[1], self.pad[0], behind[0])
        if self.method == "MAX":
            padded = functional.pad(x, around, value=-math.inf) if any(around) else x
            return functional.max_pool2d(padded, self.kernel, self.stride)
        padded = functional.pad(x, around) if any(around) else x
        means = functional.avg_pool2d(padded, self.kernel, self.stride)
        # avg_pool2d has divided by whole windows; those that hang over are smaller.
        for axis in (0, 1):
            if behind[axis] > self.pad[axis]:
                means = means * self._shares(x, means.shape[2 + axis], axis)
        return means

    def _overhang(self, size: int, axis: int) -> int:
        """What to add behind the image so that exactly Caffe's windows fit into it."""
        kernel, stride, pad = self.kernel[axis], self.stride[axis], self.pad[axis]
        room = size + 2 * pad - kernel
        if room < 0:
            raise ValueError(f"a window of {kernel} is larger than the image of {size} with its padding of {pad}")
        windows = (room if self.floor else room + stride - 1) // stride + 1
        if (windows - 1) * stride >= size + pad:
            windows -= 1
        return max((windows - 1) * stride + kernel - size - pad, 0)

    def _shares(self, x: torch.Tensor, windows: int, axis: int) -> torch.Tensor:
        kernel, stride, pad = self.kernel[axis], self.stride[axis], self.pad[axis]
        end = x.shape[2 + axis] + 2 * pad
        sizes = [min(kernel, end - at * stride) for at in range(windows)]
        shares = torch.tensor([kernel / size for size in sizes], dtype=x.dtype, device=x.device)
        return shares.reshape((-1, 1) if axis == 0 else (1, -1))

    def extra_repr(self) -> str:
        return f"{self.method}, kernel={self.kernel}, stride={self.stride}, pad={self.pad}, floor={self.floor}"


class LrnWithinChannel(nn.Module):
    """Local response normalisation over a square of one channel."""

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = functional.avg_pool2d(x * x, self.size, stride=1, padding=self.size // 2)
        return x * (1 + self.alpha * means) ** -self.beta


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """torch's batch normalisation without scale and shift (Caffe has a layer of its own for them), on any dimensions.

    While training it uses and updates the statistics as torch does, unless the definition says `use_global_stats`.
    """

    def __init__(self, channels: int, eps: float, momentum: float, frozen: bool) -> None:
        super().__init__(channels, eps=eps, momentum=momentum, affine=False)
        self.frozen = frozen

    def _check_input_dim(self, x: torch.Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"batch normalisation needs at least 2 dimensions, not {x.dim()}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.frozen:
            return functional.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(x)


class Scale(nn.Module):
    """Multiply by one number for each index of some axes, and add one; the factors may also come as a second blob."""

    def __init__(self, axis: int, weight: Optional[torch.Tensor], bias: Optional[torch.Tensor]) -> None:
        super().__init__()
        self.axis = axis
        self.weight = None if weight is None else nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: torch.Tensor, factors: Optional[torch.Tensor] = None) -> torch.Tensor:
        x = x * self._spread(self.weight if factors is None else factors, x)
        return x if self.bias is None else x + self._spread(self.bias, x)

    def _spread(self, values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if values.dim() == 0:
            return values
        axis = self.axis % x.dim()
        return values.reshape(values.shape + (1,) * (x.dim() - axis - values.dim()))


class Eltwise(nn.Module):
    """Sum (with coefficients), product or maximum of blobs of one shape."""

    def __init__(self, operation: str, coefficients: Sequence[float]) -> None:
        super().__init__()
        self.operation, self.coefficients = operation, tuple(coefficients)

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        if any(other.shape != first.shape for other in others):
            raise ValueError(f"blobs of different shapes: {[tuple(each.shape) for each in (first, *others)]}")
        blobs = [first, *others]
        if self.coefficients:
            blobs = [blob * factor for blob, factor in zip(blobs, self.coefficients)]
        result = blobs[0]
        for blob in blobs[1:]:
            if self.operation == "SUM":
                result = result + blob
            else:
                result = result * blob if self.operation == "PROD" else torch.maximum(result, blob)
        return result


class Concat(nn.Module):
    """Blobs one after another along an axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *blobs: torch.Tensor) -> torch.Tensor:
        return torch.cat(blobs, self.axis)


class Slice(nn.Module):
    """Cut a blob along an axis, at points or into equal parts."""

    def __init__(self, axis: int, points: Sequence[int], parts: int) -> None:
        super().__init__()
        self.axis, self.points, self.parts = axis, tuple(points), parts

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        size = x.shape[self.axis]
        if self.points:
            points = [0, *self.points, size]
            sizes = [after - before for before, after in zip(points, points[1:])]
        else:
            sizes = [size // self.parts] * self.parts
        if min(sizes) < 1 or sum(sizes) != size:
            raise ValueError(f"cannot cut {size} of axis {self.axis} into {self.parts} parts at {list(self.points)}")
        return torch.split(x, sizes, self.axis)


class Split(nn.Module):
    """The same blob under several names."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        return (x,) * self.parts


class InnerProduct(nn.Linear):
    """torch's linear layer on what is left when all axes from one on are made flat."""

    axis = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(self.axis % x.dim()) if self.axis % x.dim() != x.dim() - 1 else x)


class Flatten(nn.Module):
    """Make one axis of several."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(self.first, self.last)


class Reshape(nn.Module):
    """Another shape for some axes: 0 keeps a size, -1 stands for what is left."""

    def __init__(self, shape: Sequence[int], axis: int, count: int) -> None:
        super().__init__()
        self.shape, self.axis, self.count = tuple(shape), axis, count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # An axis of -1 is the place behind the last one, as in Caffe.
        first = self.axis if self.axis >= 0 else x.dim() + self.axis + 1
        last = x.dim() if self.count == -1 else first + self.count
        middle = [x.shape[first + at] if size == 0 else size for at, size in enumerate(self.shape)]
        return x.reshape(*x.shape[:first], *middle, *x.shape[last:])


class Power(nn.Module):
    """(shift + scale * x) to a power."""

    def __init__(self, power: float, scale: float, shift: float) -> None:
        super().__init__()
        self.power, self.scale, self.shift = power, scale, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.scale + self.shift
        return x if self.power == 1 else x**self.power


class AbsVal(nn.Module):
    """The absolute value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()
