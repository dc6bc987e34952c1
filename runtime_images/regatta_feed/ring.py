"""The shared memory of one training process: a file of slots of one size, each with room for a batch.

The file lies in a folder of a tmpfs, so that it is memory and nothing else. It is allocated when it is made: what a
full tmpfs would answer later is SIGBUS.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regatta_feed.errors import FeedError
from regatta_feed.schema import Schema
from regatta_runtime.data import protocol

__all__ = ["Ring", "Slots", "slots_of"]


@dataclass(frozen=True, slots=True)
class Slots:
    """Where the arrays of a batch lie in a slot. The layout of an image changes nothing here."""

    offsets: tuple[int, ...]
    size: int
    """Of a slot, with its header; whole pages."""


def slots_of(schema: Schema, batch: int) -> Slots:
    """The slot for batches of up to `batch` samples."""
    place = protocol.HEADER_SIZE
    offsets = []
    for field in schema.fields:
        offsets.append(place)
        size = batch * math.prod(field.shape) * np.dtype(field.dtype).itemsize
        place += -(-size // protocol.ALIGNMENT) * protocol.ALIGNMENT
    return Slots(tuple(offsets), -(-place // protocol.PAGE) * protocol.PAGE)


class Ring:
    """The file, mapped; made by the feed, and mapped by its workers through the fork."""

    def __init__(self, path: Path, *, slots: Slots, count: int, batch: int) -> None:
        self.path = path
        self.slots = slots
        self.count = count
        self.batch = batch
        size = slots.size * count
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o666)  # the folder decides who may; containers of a pod differ in their users
            os.posix_fallocate(descriptor, 0, size)
            self._map = mmap.mmap(descriptor, size)
        except OSError as error:
            path.unlink()
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise FeedError(
                    f"{path.parent}: no room for {size >> 20} MiB of batches ({count} of {slots.size >> 20} MiB); "
                    "enlarge the volume, or make batchSize smaller"
                ) from error
            raise
        finally:
            os.close(descriptor)

    def arrays(self, slot: int, schema: Schema) -> dict[str, NDArray[Any]]:
        """The arrays of a slot, with room for the largest batch."""
        found = {}
        for field, offset in zip(schema.fields, self.slots.offsets, strict=True):
            shape = (self.batch, *field.shape)
            flat = np.frombuffer(
                self._map, dtype=field.dtype, count=math.prod(shape), offset=slot * self.slots.size + offset
            )
            found[field.name] = flat.reshape(shape)
        return found

    def label(self, slot: int, *, turn: int, epoch: int, step: int, count: int) -> None:
        """Say in the slot what is in it."""
        protocol.pack_header(self._map, slot * self.slots.size, turn=turn, epoch=epoch, step=step, count=count)

    def remove(self) -> None:
        """Take the file away; whoever has it mapped keeps what they see."""
        self.path.unlink(missing_ok=True)
