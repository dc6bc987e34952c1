"""The process group of a job's PyTorch processes, for programs that know nothing of it."""

from __future__ import annotations

from typing import Any, List, Mapping


class Group:
    """All training processes of the job; joined when it is first needed."""

    def __init__(self, torch: Any, environ: Mapping[str, str]) -> None:
        self.torch = torch
        self.rank, self.world = int(environ["RANK"]), int(environ["WORLD_SIZE"])
        self._local, self._neighbours = int(environ["LOCAL_RANK"]), int(environ["LOCAL_WORLD_SIZE"])

    def take_device(self) -> None:
        """Make this process's own GPU the current one, where there are any."""
        if self.torch.cuda.is_available():
            self.torch.cuda.set_device(self._local % self.torch.cuda.device_count())

    def join(self) -> None:
        """Join, unless the program itself did. Nobody leaves: a group may be in use until its process has ended."""
        distributed = self.torch.distributed
        if distributed.is_initialized():
            return
        cuda = self.torch.cuda
        # NCCL wants a GPU for each process.
        own = cuda.is_available() and cuda.device_count() >= self._neighbours
        distributed.init_process_group("nccl" if own else "gloo")

    def all(self, mine: Any) -> List[Any]:
        """What every process gives, by rank; anything small that can be pickled."""
        given: List[Any] = [None] * self.world
        self.torch.distributed.all_gather_object(given, mine)
        return given

    def from_first(self, tensor: Any) -> None:
        """Overwrite a tensor with that of rank 0."""
        moved = self._movable(tensor.detach())
        self.torch.distributed.broadcast(moved, 0)
        with self.torch.no_grad():
            tensor.copy_(moved)

    def mean(self, tensor: Any) -> None:
        """Overwrite a tensor with the mean of all; exactly itself where all have the same."""
        # In double precision a sum of equal numbers is exact for any number of processes that there is.
        moved = self._movable(tensor.detach().double())
        self.torch.distributed.all_reduce(moved)
        with self.torch.no_grad():
            tensor.copy_((moved / self.world).to(tensor.dtype))

    def _movable(self, tensor: Any) -> Any:
        """The tensor, on a device from which this group's backend takes it."""
        if self.torch.distributed.get_backend() == "nccl":
            return tensor.cuda().contiguous()
        return tensor.cpu().contiguous()
