"""Views of a batch's memory as the framework's own arrays: no byte is copied."""

from __future__ import annotations

from typing import Any, List, Tuple

from regatta_runtime.data.client import Batch, Field


def numpy_arrays(batch: Batch, fields: List[Field]) -> Tuple[Any, ...]:
    """One numpy array for each field."""
    import numpy

    return tuple(
        numpy.frombuffer(batch.lease, field.dtype, batch.count * _product(field.shape), field.offset).reshape(
            (batch.count, *field.shape)
        )
        for field in fields
    )


def torch_tensors(batch: Batch, fields: List[Field]) -> Tuple[Any, ...]:
    """One torch tensor for each field; numpy is not needed."""
    import torch

    return tuple(
        torch.frombuffer(
            batch.lease,
            dtype=getattr(torch, field.dtype),
            count=batch.count * _product(field.shape),
            offset=field.offset,
        ).view(batch.count, *field.shape)
        for field in fields
    )


def _product(shape: List[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
