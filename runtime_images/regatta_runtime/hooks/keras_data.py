"""What a process trains on: its part of arrays that all have, or data of which the program says that it is a part."""

from __future__ import annotations

import math
import sys
from typing import Any, Callable, Dict, Optional, Tuple

_parts: Dict[int, Any] = {}  # by id, and held so that no other object can get that id

HELP = (
    "every process would train on all of it. Give each its own part, and say so: model.fit(regatta_runtime.keras."
    "sharded(data), ...)"
)


def mark(data: Any) -> Any:
    """Remember that each process has its own part of the data; returns the data."""
    _parts[id(data)] = data
    return data


def is_part(data: Any) -> bool:
    """Whether the program said that each process has its own part."""
    return id(data) in _parts


def structure(function: Callable[[Any], Any], data: Any) -> Any:
    """The same structure of dictionaries, lists and tuples with `function` applied to the arrays in it."""
    if data is None:
        return None
    if isinstance(data, dict):
        return type(data)((key, structure(function, value)) for key, value in data.items())
    if isinstance(data, (list, tuple)):
        values = [structure(function, value) for value in data]
        return type(data)(*values) if hasattr(data, "_fields") else type(data)(values)
    return function(data)


def samples(data: Any) -> Optional[int]:
    """How many samples a structure of arrays has; None for anything else."""
    counts = []

    def count(leaf: Any) -> None:
        shape = getattr(leaf, "shape", None)
        try:
            counts.append(int(shape[0]) if len(shape) and hasattr(leaf, "__getitem__") else None)
        except TypeError:
            counts.append(None)

    structure(count, data)
    return counts[0] if counts and counts[0] is not None and None not in counts else None


def split(data: Any, share: float) -> Tuple[Any, Any]:
    """All but the last share of the samples, and those: as Keras splits for validation."""
    total = samples(data) or 0
    at = math.floor(total * (1.0 - share))
    return structure(lambda a: _rows(a)[:at], data), structure(lambda a: _rows(a)[at:], data)


def part(data: Any, *, rank: int, world: int) -> Any:
    """One process's part of arrays that all processes have: every world-th sample, equally many for each.

    Where the samples cannot be divided, some from the beginning come twice. Without shuffling a step of all processes
    sees the very samples that it would in one process.
    """
    total = samples(data) or 0
    if total % world == 0:
        return structure(lambda a: _rows(a)[rank::world], data)
    mine = [(rank + world * i) % total for i in range(-(-total // world))]
    return structure(lambda a: _rows(a)[mine], data)


def is_sharded_loader(data: Any, world: int) -> bool:
    """Whether it is a DataLoader whose DistributedSampler deals the samples out to all processes."""
    sampler = sampler_of(data)
    return sampler is not None and sampler.num_replicas == world


def sampler_of(data: Any) -> Any:
    """The DistributedSampler of a DataLoader, None where there is none."""
    utils = sys.modules.get("torch.utils.data")
    distributed = sys.modules.get("torch.utils.data.distributed")
    if utils is None or distributed is None or not isinstance(data, utils.DataLoader):
        return None
    sampler = data.sampler
    return sampler if isinstance(sampler, distributed.DistributedSampler) else None


def _rows(array: Any) -> Any:
    """Something that slices and index lists of samples can be taken from."""
    if hasattr(array, "iloc"):  # pandas
        return array.iloc
    if type(array).__module__.split(".")[0] in ("numpy", "torch", "scipy"):
        return array
    return sys.modules["numpy"].asarray(array)
