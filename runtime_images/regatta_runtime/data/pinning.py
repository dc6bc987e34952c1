"""Pinned memory: the feed's ring registered with CUDA, so that batches are copied to a GPU without another copy.

A copy from pinned memory goes on after the call that ordered it has returned. So a batch that is given up goes back to
the feed only when the device has done all that its current stream was told until then.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Optional

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
        problem = self._pin(memory, client)
        self._done = memory
        if problem:
            self._given_up = True
            print(f"regatta: batches are not in pinned memory: {problem}", file=sys.stderr, flush=True)

    def _pin(self, memory: Any, client: Client) -> Optional[str]:
        try:
            import torch

            if not torch.cuda.is_available():
                self._given_up = True
                return None
            cuda = torch.cuda.cudart()
            if self._address:
                torch.cuda.synchronize()
                cuda.cudaHostUnregister(self._address)
            self._address = ctypes.addressof((ctypes.c_ubyte * len(memory)).from_buffer(memory))
            code = int(cuda.cudaHostRegister(self._address, len(memory), PORTABLE))
            if code != 0:
                return f"CUDA's error {code}"
        except Exception as error:  # whatever it is: training goes on without
            return f"{type(error).__name__}: {error}"

        def fence() -> Any:
            event = torch.cuda.Event()
            event.record()
            return event

        client.fence = fence
        return None
