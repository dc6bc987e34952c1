"""The mean of gradients over all processes, by one all_reduce for each of their types."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from regatta_runtime.hooks.refusal import refuse

Layout = Tuple[Tuple[Any, ...], ...]


class Gradients:
    """Those of one optimizer. Which variables have any is agreed upon when they are first seen."""

    def __init__(self, torch: Any, world: int) -> None:
        self._torch = torch
        self._world = world
        self._present: Dict[Layout, Tuple[bool, ...]] = {}
        self._last: List[Any] = []  # empty tensors like those that were reduced last
        self.reductions = 0

    def mean(self, gradients: Sequence[Any], variables: Sequence[Any]) -> List[Any]:
        """Each gradient's mean over all processes; None where no process has one."""
        values = [getattr(variable, "value", variable) for variable in variables]
        layout = tuple((tuple(value.shape), str(value.dtype)) for value in values)
        mine = tuple(gradient is not None for gradient in gradients)
        present = self._present.get(layout)
        if present is None:
            present = self._present[layout] = self._agree(layout, mine)
        if any(have and not known for have, known in zip(mine, present)):
            refuse(
                "a variable has a gradient that it did not have, in any process, when training began; the other "
                "processes do not expect it"
            )
        filled = [
            None
            if not known
            else self._torch.zeros_like(value)
            if gradient is None
            else gradient.to_dense()
            if gradient.is_sparse
            else gradient
            for gradient, value, known in zip(gradients, values, present)
        ]
        return self._reduced(filled)

    def nothing_more(self) -> bool:
        """Whether all processes have come to the end of their batches; asked where training steps might be taken."""
        if not self._last:
            return True
        flat = [tensor.new_zeros(tensor.shape) for tensor in self._last]
        flat[0][-1] = 1
        for tensor in flat:
            self._torch.distributed.all_reduce(tensor)
        return bool(float(flat[0][-1]) == self._world)

    def _agree(self, layout: Layout, mine: Tuple[bool, ...]) -> Tuple[bool, ...]:
        told: List[Optional[Tuple[Layout, Tuple[bool, ...]]]] = [None] * self._world
        self._torch.distributed.all_gather_object(told, (layout, mine))
        if any(other is None or other[0] != layout for other in told):
            refuse("the processes train different variables: the model must be the same in all of them")
        return tuple(any(column) for column in zip(*(other[1] for other in told if other is not None)))

    def _reduced(self, gradients: List[Any]) -> List[Any]:
        groups: Dict[Any, List[int]] = {}
        for index, gradient in enumerate(gradients):
            if gradient is not None:
                groups.setdefault((gradient.dtype, gradient.device), []).append(index)
        result = list(gradients)
        self._last = []
        for indices in groups.values():
            some = [gradients[index] for index in indices]
            # One number more, by which `nothing_more` is told from a step.
            flat = self._torch.cat([*(gradient.reshape(-1) for gradient in some), some[0].new_zeros(1)])
            self._torch.distributed.all_reduce(flat)
            flat /= self._world
            self._last.append(flat)
            for index, means in zip(indices, flat[:-1].split([gradient.numel() for gradient in some])):
                result[index] = means.view(gradients[index].shape)
        self.reductions += 1
        return result
