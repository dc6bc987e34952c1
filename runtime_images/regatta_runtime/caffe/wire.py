"""The weights in a .caffemodel: as much of protobuf's wire format as that takes, and nothing of it trusted.

A net holds layers, a layer blobs, a blob a shape and numbers: four levels, one function for each, so that no file can
make this recurse. Every length is checked against what is left of the file before anything is taken, numbers stay
where they are in the file until somebody asks for them, and counts have limits far above any real model.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Tuple, Union

from regatta_runtime.caffe.errors import DamagedFileError

MAX_LAYERS = 100_000
MAX_BLOBS = 64
MAX_AXES = 32  # Caffe's own limit

# Field numbers of caffe.proto.
NET_LAYERS = {100: (1, 7), 2: (4, 6)}  # LayerParameter and V1LayerParameter: the fields of their name and blobs
BLOB_DIMENSIONS = (1, 2, 3, 4)  # num, channels, height, width: before there were shapes
BLOB_FLOATS, BLOB_SHAPE, BLOB_DOUBLES = 5, 7, 8
SHAPE_DIMENSION = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

View = memoryview
Value = Union[int, View]


class Blob(NamedTuple):
    """An array: its shape, and its numbers as they lie in the file, little-endian and `width` bytes each."""

    shape: Tuple[int, ...]
    data: bytearray
    width: int


def read_weights(path: str) -> Dict[str, List[Blob]]:
    """Blobs of all layers that have some, by layer. A damaged file is a `DamagedFileError` that says where."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        return parse(View(content))
    except DamagedFileError as problem:
        raise DamagedFileError(f"{path}: {_other(content) or problem}") from None


def parse(content: View) -> Dict[str, List[Blob]]:
    """The same of a file's content."""
    found: Dict[str, List[Blob]] = {}
    layers = 0
    for number, value in _fields(content):
        if number not in NET_LAYERS:
            continue
        layers += 1
        if layers > MAX_LAYERS:
            raise DamagedFileError(f"more than {MAX_LAYERS:,} layers")
        name, blobs = _layer(_view(value, "a layer"), NET_LAYERS[number])
        if blobs:
            found[name] = blobs
    if not layers:
        raise DamagedFileError("there is no layer in it; is it a .caffemodel?")
    return found


def _layer(message: View, numbers: Tuple[int, int]) -> Tuple[str, List[Blob]]:
    name = ""
    blobs: List[Blob] = []
    for number, value in _fields(message):
        if number == numbers[0]:
            try:
                name = bytes(_view(value, "a layer's name")).decode()
            except UnicodeDecodeError:
                raise DamagedFileError("a layer's name is not text") from None
        elif number == numbers[1]:
            if len(blobs) == MAX_BLOBS:
                raise DamagedFileError(f"layer {name!r} has more than {MAX_BLOBS} blobs")
            blobs.append(_blob(_view(value, f"a blob of layer {name!r}"), name))
    return name, blobs


def _blob(message: View, layer: str) -> Blob:
    legacy: Dict[int, int] = {}
    shape: List[int] = []
    shaped = False
    # Old files have a key before every single number, new ones one for all.
    numbers = {BLOB_FLOATS: bytearray(), BLOB_DOUBLES: bytearray()}
    for number, value in _fields(message):
        if number in numbers:
            numbers[number] += _view(value, f"the numbers of a blob of layer {layer!r}")
        elif number == BLOB_SHAPE:
            shaped = True
            shape += _shape(_view(value, "a blob's shape"))
        elif number in BLOB_DIMENSIONS and isinstance(value, int):
            legacy[number] = value
    if not shaped:
        shape = [legacy.get(number, 0) for number in BLOB_DIMENSIONS] if legacy else []
    width = 8 if numbers[BLOB_DOUBLES] else 4
    data = numbers[BLOB_DOUBLES if width == 8 else BLOB_FLOATS]
    count = 1
    for size in shape:
        if size < 0 or len(shape) > MAX_AXES:
            raise DamagedFileError(f"a blob of layer {layer!r} has the impossible shape {shape[:MAX_AXES]}")
        count *= size
    if count * width != len(data):
        raise DamagedFileError(
            f"a blob of layer {layer!r} has the shape {shape} and so {count:,} numbers, but {len(data) // width:,} are "
            "there; weights of half precision are not read, save them as float first"
        )
    return Blob(tuple(shape), data, width)


def _shape(message: View) -> List[int]:
    shape: List[int] = []
    for number, value in _fields(message):
        if number != SHAPE_DIMENSION:
            continue
        if isinstance(value, int):
            shape.append(value)
        else:
            at = 0
            while at < len(value) and len(shape) <= MAX_AXES:
                size, at = _varint(value, at)
                shape.append(size)
        if len(shape) > MAX_AXES:
            raise DamagedFileError(f"a blob has more than {MAX_AXES} dimensions")
    return shape


def _fields(message: View) -> Iterator[Tuple[int, Value]]:
    """Number and value of every field of a message."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise DamagedFileError(f"a field has the unknown kind {kind}; is it a .caffemodel?")
        if not 0 <= length <= end - at:
            raise DamagedFileError(f"it ends {length - (end - at):,} bytes too early; was it copied to its end?")
        yield number, message[at : at + length]
        at += length


def _varint(message: View, at: int) -> Tuple[int, int]:
    """The number at a place, and the place after it. Negative numbers come as 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise DamagedFileError("it ends in the middle of a number; was it copied to its end?")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return (value - (1 << 64) if value >= 1 << 63 else value), at
    raise DamagedFileError("a number in it is longer than 64 bits; is it a .caffemodel?")


def _view(value: Value, what: str) -> View:
    if isinstance(value, int):
        raise DamagedFileError(f"{what} is a single number; is it a .caffemodel?")
    return value


def _other(content: bytes) -> str:
    """What a file is that people take for a .caffemodel, empty if it is none of these."""
    if content.startswith(b"\x89HDF"):
        return "it is an HDF5 file; save the weights in Caffe's binary format (snapshot_format: BINARYPROTO)"
    if content.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself: `git lfs pull` fetches it"
    if not content:
        return "it is empty"
    return ""
