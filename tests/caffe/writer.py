"""Writes networks as Caffe does: the definition as text, the weights in protobuf's wire format.

Shares nothing with the reader in the runtime, so that the two cannot be wrong together; OpenCV reads it, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Encoding", "NetWriter", "blob", "string", "varint"]

Array = NDArray[np.float32]
Encoding = Literal["packed", "single", "legacy", "double"]

_V1_TYPES = {
    "Concat": ("CONCAT", 3),
    "Convolution": ("CONVOLUTION", 4),
    "Dropout": ("DROPOUT", 6),
    "Eltwise": ("ELTWISE", 25),
    "InnerProduct": ("INNER_PRODUCT", 14),
    "LRN": ("LRN", 15),
    "Pooling": ("POOLING", 17),
    "ReLU": ("RELU", 18),
    "Softmax": ("SOFTMAX", 20),
}


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def string(number: int, content: bytes) -> bytes:
    """A field with a length: text, bytes or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: Array, encoding: Encoding = "packed") -> bytes:
    """A BlobProto."""
    flat = values.astype("<f4").ravel()
    if encoding == "legacy":
        sizes = [1] * (4 - values.ndim) + list(values.shape)
        return b"".join(varint(at << 3) + varint(size) for at, size in enumerate(sizes, 1)) + string(5, flat.tobytes())
    shape = string(7, string(1, b"".join(varint(size) for size in values.shape)))
    if encoding == "double":
        return shape + string(8, values.astype("<f8").tobytes())
    if encoding == "single":
        return shape + b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in flat)
    return shape + string(5, flat.tobytes())


@dataclass(slots=True)
class NetWriter:
    """Takes layers in order; `prototxt` and `caffemodel` are what they become."""

    inputs: dict[str, tuple[int, ...]]
    encoding: Encoding = "packed"
    old: bool = False
    """The older spelling, `layers { type: CONVOLUTION }`."""
    blobs: dict[str, list[Array]] = field(default_factory=dict)
    _text: list[str] = field(default_factory=list)
    _binary: list[bytes] = field(default_factory=list)

    def add(
        self,
        kind: str,
        name: str,
        bottoms: Sequence[str] | str,
        tops: Sequence[str] | str = (),
        parameters: str = "",
        blobs: Iterable[Array] = (),
    ) -> NetWriter:
        """Add a layer; its top is called like itself unless told otherwise."""
        bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
        tops = [tops] if isinstance(tops, str) else tops or [name]
        ends = [f'bottom: "{each}"' for each in bottoms] + [f'top: "{each}"' for each in tops]
        word, number = _V1_TYPES[kind] if self.old else (f'"{kind}"', 0)
        key = "layers" if self.old else "layer"
        self._text.append(f'{key} {{ name: "{name}" type: {word} {" ".join(ends)} {parameters} }}')
        self.blobs[name] = list(blobs)
        written = [blob(each, self.encoding) for each in self.blobs[name]]
        if self.old:
            layer = string(4, name.encode()) + varint(5 << 3) + varint(number)
            layer += b"".join(string(6, each) for each in written)
        else:
            layer = string(1, name.encode()) + string(2, kind.encode())
            layer += b"".join(string(7, each) for each in written)
        self._binary.append(string(2 if self.old else 100, layer))
        return self

    @property
    def prototxt(self) -> str:
        """The definition."""
        inputs = []
        for name, shape in self.inputs.items():
            dims = " ".join(f"dim: {size}" for size in shape)
            if self.old:
                inputs.append(f'input: "{name}" ' + " ".join(f"input_dim: {size}" for size in shape))
            else:
                inputs.append(
                    f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'
                )
        return "\n".join(['name: "written"', *inputs, *self._text]) + "\n"

    @property
    def caffemodel(self) -> bytes:
        """The weights."""
        return string(1, b"written") + b"".join(self._binary)
