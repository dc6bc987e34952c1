"""Reading tf.train.Example without TensorFlow: the few protobuf messages of it, with every length checked."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["MalformedError", "parse_example"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FEATURE_LIMIT = 4096


class MalformedError(Exception):
    """The bytes are not a tf.train.Example."""


def parse_example(data: bytes) -> dict[str, Any]:
    """Features by name: a list of bytes, an array of float32, or an array of int64."""
    features: dict[str, Any] = {}
    view = memoryview(data)
    for number, kind, body in _fields(view):
        if number == 1 and kind == BYTES:  # Example.features
            for inner, inner_kind, entry in _fields(body):
                if inner == 1 and inner_kind == BYTES:  # Features.feature, an entry of a map
                    name, value = _entry(entry)
                    features[name] = value
                    if len(features) > FEATURE_LIMIT:
                        raise MalformedError(f"more than {FEATURE_LIMIT} features")
    return features


def _entry(view: memoryview) -> tuple[str, Any]:
    name, value = "", None
    for number, kind, body in _fields(view):
        if number == 1 and kind == BYTES:
            name = bytes(body).decode("utf-8", "replace")
        elif number == 2 and kind == BYTES:
            value = _feature(body)
    return name, value


def _feature(view: memoryview) -> Any:
    for number, kind, body in _fields(view):
        if kind != BYTES:
            continue
        if number == 1:
            return [bytes(each) for inner, how, each in _fields(body) if inner == 1 and how == BYTES]
        if number == 2:
            return _floats(body)
        if number == 3:
            return _integers(body)
    return None


def _floats(view: memoryview) -> Any:
    parts = []
    for number, kind, body in _fields(view):
        if number == 1 and kind in (BYTES, FIXED32):
            if len(body) % 4:
                raise MalformedError("a list of floats is cut")
            parts.append(np.frombuffer(body, "<f4"))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _integers(view: memoryview) -> Any:
    found: list[int] = []
    for number, kind, body in _fields(view):
        if number != 1:
            continue
        if kind == VARINT:
            found.append(body)
        elif kind == BYTES:
            place = 0
            while place < len(body):
                value, place = _varint(body, place)
                found.append(value)
    return np.array([value - (1 << 64) if value >> 63 else value for value in found], np.int64)


def _fields(view: memoryview) -> Any:
    place, end = 0, len(view)
    while place < end:
        key, place = _varint(view, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(view, place)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, place = _varint(view, place)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise MalformedError(f"a field of unknown type {kind}")
        if size > end - place:
            raise MalformedError("a field is longer than what holds it")
        yield number, kind, view[place : place + size]
        place += size


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if place >= len(view) or shift > 63:
            raise MalformedError("a number is cut or too long")
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
        shift += 7
