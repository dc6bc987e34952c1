"""What each training process has got, gets next and holds: decisions only, no I/O.

A queue hands out batches in order. Its slots are free, being written, waiting to be handed over, or held by the
training process; a batch begins when a slot is free, so whoever reads slowly slows the feed down and nobody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from regatta_feed.order import Order

__all__ = ["Batch", "Queue"]


@dataclass(slots=True)
class Batch:
    """A batch from the moment that it has a slot."""

    slot: int
    turn: int
    epoch: int
    step: int
    count: int
    missing: int
    """Parts that are not written."""
    began: float = 0.0
    """When, by the clock of whoever measures."""


@dataclass(slots=True)
class Queue:
    """The queue of one training process."""

    order: Order
    rank: int
    epochs: int | None
    slots: int
    part: int
    """Samples in a part of a batch, the unit that a worker does at a time."""
    turn: int = 0
    """Raised whenever the position is changed from outside: what was begun before then is not wanted any more."""
    epoch: int = 0
    step: int = 0
    """The next batch to begin."""
    free: list[int] = field(default_factory=list)
    writing: deque[Batch] = field(default_factory=deque)
    """In the order in which they are handed over."""
    abandoned: dict[int, Batch] = field(default_factory=dict)
    """Of an older turn, by slot: a worker still writes into them."""
    held: set[int] = field(default_factory=set)
    delivered: int = 0
    samples: int = 0

    def __post_init__(self) -> None:
        self.free = list(range(self.slots - 1, -1, -1))

    @property
    def fresh(self) -> bool:
        """Whether it still stands where it began: at the first batch, with nothing handed over."""
        return self.turn == 0 and self.delivered == 0

    @property
    def exhausted(self) -> bool:
        """Whether there is no batch left to begin."""
        return self.epochs is not None and self.epoch >= self.epochs

    def begin(self) -> Batch | None:
        """Give the next batch a slot; None where no slot is free or all batches have begun."""
        if self.exhausted or not self.free:
            return None
        count = len(self.order.span(step=self.step, rank=self.rank))
        batch = Batch(self.free.pop(), self.turn, self.epoch, self.step, count, -(-count // self.part))
        self.writing.append(batch)
        self.step += 1
        if self.step >= self.order.steps:
            self.epoch, self.step = self.epoch + 1, 0
        return batch

    def parts(self, batch: Batch) -> Iterator[range]:
        """The parts of a batch, as places in it; as even as can be, so that no worker waits for a large one."""
        for number in range(batch.missing):
            yield range(batch.count * number // batch.missing, batch.count * (number + 1) // batch.missing)

    def written(self, batch: Batch) -> None:
        """A part of the batch is written, or will not be."""
        batch.missing -= 1
        if batch.missing == 0 and self.abandoned.get(batch.slot) is batch:
            del self.abandoned[batch.slot]
            self.free.append(batch.slot)

    def deliver(self) -> Iterator[Batch]:
        """Batches that are whole and whose turn it is; the training process holds them from now on."""
        while self.writing and self.writing[0].missing == 0:
            batch = self.writing.popleft()
            self.held.add(batch.slot)
            self.delivered += 1
            self.samples += batch.count
            yield batch

    def release(self, slot: int) -> bool:
        """The training process has given a slot back; False where it did not hold it."""
        if slot not in self.held:
            return False
        self.held.discard(slot)
        self.free.append(slot)
        return True

    def seek(self, *, epoch: int, step: int) -> None:
        """Go on at another batch."""
        self.turn += 1
        self.epoch, self.step = epoch, step
        for batch in self.writing:
            if batch.missing:
                self.abandoned[batch.slot] = batch
            else:
                self.free.append(batch.slot)
        self.writing.clear()

    def lost(self) -> None:
        """The training process is gone, and what it held with it."""
        self.free.extend(self.held)
        self.held.clear()
