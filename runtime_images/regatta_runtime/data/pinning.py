"""Pinned memory: the feed's ring registered with CUDA, so that batches are copied to a GPU without another copy.

A copy from pinned memory goes on after the call that ordered it has returned. So a batch that is given up goes back to
the feed only when the device has done all that its current stream was told until then.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from regatta_runtime.data.client import Client

PORTABLE = 1  # cudaHostRegisterPortable: for all devices of the process


class Pinning:
    """Registers a client's memory before its first batch, and again when there is new memory."""

    def __init__(self) -> None:
        self._done: Any = None  # the memory, which must not go while it is registered
        self._address = 0
        self._given_up = False

    def __call__(self, client: Client) -> None:
        """Pin what is not pinned yet, where there is CUDA."""
        memory = client.memory
        if self._given_up or self._done is memory:
            return
        try:
            address = register(memory, before=self._address)
        except Exception as error:  # whatever it is: training goes on without
            self._given_up = True
            print(f"regatta: batches are not in pinned memory: {error}", file=sys.stderr, flush=True)
            return
        self._done, self._address = memory, address
        if address:
            client.fence = fence
        else:
            self._given_up = True


def register(memory: Any, *, before: int) -> int:
    """Pin the memory instead of that at an address before; returns its address, 0 where there is no CUDA."""
    import torch

    if not torch.cuda.is_available():
        return 0
    cuda = torch.cuda.cudart()
    if before:
        torch.cuda.synchronize()
        cuda.cudaHostUnregister(before)
    address = ctypes.addressof((ctypes.c_ubyte * len(memory)).from_buffer(memory))
    code = int(cuda.cudaHostRegister(address, len(memory), PORTABLE))
    if code != 0:
        raise RuntimeError(f"cudaHostRegister answers {code}")
    return address


def fence() -> Any:
    """What is done when the device has done all that the current stream was told until now."""
    import torch

    event = torch.cuda.Event()
    event.record()
    return event
