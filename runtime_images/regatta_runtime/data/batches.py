"""The batches of one training process, in the shape of a DataLoader."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from regatta_runtime.data.client import Batch, Client, FeedError, Field

Make = Callable[[Batch, List[Field]], Tuple[Any, ...]]


class Batches:
    """Going through it is one epoch, and going through it again is the next one; there is no set_epoch to call.

    `len()` is the number of batches in an epoch. `epoch` and `step` are the batch that comes next, so a checkpoint
    that keeps them (or `state_dict()`) goes on with exactly the batches that were not seen. Leaving a loop early ends
    its epoch. A feed that dies is waited for for a minute, and its successor goes on where it was.
    """

    def __init__(
        self,
        make: Make,
        *,
        layout: Optional[str],
        feed: Optional[str] = None,
        queue: Optional[int] = None,
        epoch: Optional[int] = None,
        step: Optional[int] = None,
        patient: bool = False,
        prepare: Optional[Callable[[Client], None]] = None,
    ) -> None:
        folder = feed or os.environ.get("REGATTA_FEED")
        if not folder:
            raise FeedError(
                "there is no feed: start one (regatta feed --spec pipeline.yaml) and give its folder, as feed=... "
                "or in REGATTA_FEED"
            )
        if queue is None:
            queue = int(os.environ.get("LOCAL_RANK") or 0)
        self._make, self._prepare = make, prepare
        self._client = Client(folder=folder, queue=queue, layout=layout, epoch=epoch, step=step, patient=patient)
        self.epoch = epoch or 0
        self.step = step or 0
        self._at = (self.epoch, self.step)  # what the feed sends next
        self._steps = int(self._client.facts["steps"])

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Tuple[Any, ...]]:
        if self.epochs is not None and self.epoch >= self.epochs:
            raise FeedError(
                f"all {self.epochs} epochs of the pipeline have been read; its field epochs says how many there are"
            )
        return self._one_epoch()

    def _one_epoch(self) -> Iterator[Tuple[Any, ...]]:
        epoch = self.epoch
        try:
            while self.epoch == epoch:
                batch = self._next()
                if self._prepare is not None:
                    self._prepare(self._client)
                arrays = [self._make(batch, self._client.fields)]
                del batch  # the arrays alone keep the memory now, and whoever gets them alone keeps the arrays
                self._advance()
                yield arrays.pop()
        finally:
            if self.epoch == epoch:  # the loop was left
                self.epoch, self.step = epoch + 1, 0

    def _advance(self) -> None:
        step = self.step + 1
        self.epoch, self.step = (self.epoch + 1, 0) if step >= self._steps else (self.epoch, step)
        self._at = (self.epoch, self.step)

    def _next(self) -> Batch:
        wanted = (self.epoch, self.step)
        while True:
            try:
                if self._at != wanted:
                    self._client.seek(*wanted)
                    self._at = wanted
                batch = self._client.next()
            except ConnectionError:
                self._client.reconnect(*wanted)
                self._at = wanted
                continue
            if batch is None:
                raise FeedError(f"the feed ended before step {self.step} of epoch {self.epoch}")
            if (batch.epoch, batch.step) != wanted:
                raise FeedError(f"the feed sent epoch {batch.epoch}, step {batch.step} instead of {wanted}")
            return batch

    @property
    def epochs(self) -> Optional[int]:
        """Epochs that the pipeline has; None where it has no end."""
        epochs = self._client.facts["epochs"]
        return None if epochs is None else int(epochs)

    @property
    def batch_size(self) -> int:
        """Samples in a full batch of this process."""
        return int(self._client.facts["batchSize"])

    @property
    def facts(self) -> Dict[str, Any]:
        """What the feed says of itself: samples, world, rank, classes, fields, layout."""
        return dict(self._client.facts)

    def state_dict(self) -> Dict[str, int]:
        """The batch that comes next, for a checkpoint."""
        return {"epoch": self.epoch, "step": self.step}

    def load_state_dict(self, state: Dict[str, int]) -> None:
        """Go on at the batch of a checkpoint."""
        epoch, step = int(state["epoch"]), int(state["step"])
        if epoch < 0 or not 0 <= step < self._steps:
            raise FeedError(f"step {step} of epoch {epoch} is outside an epoch of {self._steps} steps")
        self.epoch, self.step = epoch, step

    def close(self) -> None:
        """Leave the feed, once nothing looks at its batches any more."""
        self._client.close()
