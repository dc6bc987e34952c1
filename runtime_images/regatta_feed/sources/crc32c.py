"""The checksum of TFRecord files: CRC-32C, table-driven over numpy where a record is long."""

from __future__ import annotations

import struct

import numpy as np

__all__ = ["crc32c", "masked"]

_POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()
_TABLE_ARRAY = np.array(_TABLE, dtype=np.uint32)
LANES = 256
"""Stretches of a long record that are summed side by side."""


def crc32c(data: bytes) -> int:
    """The CRC-32C of the bytes."""
    if len(data) < 16 * LANES:
        return _serial(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    length = len(data) // LANES
    body = np.frombuffer(data, np.uint8, count=length * LANES).reshape(LANES, length).T
    state = np.zeros(LANES, np.uint32)
    state[0] = 0xFFFFFFFF
    for column in np.ascontiguousarray(body):
        state = _TABLE_ARRAY[(state ^ column) & 0xFF] ^ (state >> np.uint32(8))
    shift = _shift(length)
    total = 0
    for lane in state.tolist():
        total = _times(shift, total) ^ lane
    return _serial(data[length * LANES :], total) ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """The checksum as TFRecord stores it."""
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def check(data: bytes, stored: bytes) -> bool:
    """Whether the stored four bytes are the masked checksum of the data."""
    return struct.unpack("<I", stored)[0] == masked(data)


def _serial(data: bytes, state: int) -> int:
    for byte in data:
        state = _TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state


_SHIFTS: dict[int, list[int]] = {}


def _shift(length: int) -> list[int]:
    """What `length` zero bytes do to each bit of a state, as 32 columns."""
    found = _SHIFTS.get(length)
    if found is not None:
        return found
    power = [_TABLE[(1 << bit) & 0xFF] ^ ((1 << bit) >> 8) for bit in range(32)]  # one zero byte
    result = [1 << bit for bit in range(32)]
    left = length
    while left:
        if left & 1:
            result = [_times(power, column) for column in result]
        power = [_times(power, column) for column in power]
        left >>= 1
    if len(_SHIFTS) > 4096:
        _SHIFTS.clear()
    _SHIFTS[length] = result
    return result


def _times(columns: list[int], vector: int) -> int:
    total = 0
    while vector:
        low = vector & -vector
        total ^= columns[low.bit_length() - 1]
        vector ^= low
    return total
