"""Views of a batch's memory as the framework's own arrays: no byte is copied."""

from __future__ import annotations

import math
from typing import Any, List, Tuple

from regatta_runtime.data.client import Batch, Field


def numpy_arrays(batch: Batch, fields: List[Field]) -> Tuple[Any, ...]:
    """One numpy array for each field."""
    import numpy

    lease, count = batch.lease, batch.count
    return tuple([numpy.ndarray((count, *shape), dtype, lease, offset) for _, dtype, shape, offset in fields])


def torch_tensors(batch: Batch, fields: List[Field]) -> Tuple[Any, ...]:
    """One torch tensor for each field; numpy is not needed."""
    import torch

    lease, count = batch.lease, batch.count
    return tuple(
        [
            torch.frombuffer(lease, dtype=getattr(torch, dtype), count=count * math.prod(shape), offset=offset).view(
                count, *shape
            )
            for _, dtype, shape, offset in fields
        ]
    )
