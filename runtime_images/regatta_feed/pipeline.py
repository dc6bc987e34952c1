"""A whole pipeline: from the number of a sample to its place in a batch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regatta_feed.ahead import ReadAhead
from regatta_feed.cache import DecodedCache
from regatta_feed.damage import Damage
from regatta_feed.draws import Draws
from regatta_feed.encoded import EncodedCache
from regatta_feed.errors import DamagedError, StepError
from regatta_feed.order import Order
from regatta_feed.schema import Field, Schema, image_like, stored, write
from regatta_feed.settings import Settings
from regatta_feed.sources.base import Record, Source
from regatta_feed.sources.text import Lines
from regatta_feed.steps.base import Item, Kind, Step
from regatta_feed.steps.decode import pixels
from regatta_feed.steps.mixing import Blend, CutMix, MixUp
from regatta_feed.steps.values import Layout, numbers

__all__ = ["Pipeline", "deterministic"]

SUBSTITUTES = 100
"""Tries to find a good sample for a damaged one; so many damaged ones in a row mean that all are."""


@dataclass(slots=True)
class Pipeline:
    """Samples of a source, through the steps."""

    source: Source
    steps: Sequence[Step]
    order: Order
    damaged: dict[int, Damage] = field(default_factory=dict)
    """What this process has found damaged. It is read again in the next epoch all the same: what one worker knows must
    not decide over a batch that another one may make."""
    seconds: dict[str, float] | None = None
    """CPU seconds of each step, where they are wanted."""
    cache: DecodedCache | None = None
    encoded: EncodedCache | None = None
    ahead: ReadAhead | None = None
    """Of a worker that reads ahead."""
    direct_bytes: int = 0
    """That this process has had from the source when it needed them."""
    texts: Sequence[Step] = ()
    """Steps that were done before the feed began, and `steps` where there are none."""
    kept: int = 0
    """Steps whose result the cache keeps."""

    def __post_init__(self) -> None:
        self.texts = self.texts or self.steps

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        if self.encoded is not None:
            self.encoded.close()
        if isinstance(self.source, Lines):
            self.source.close()

    def at_work(self, number: int, settings: Settings) -> None:
        """Be the pipeline of a worker, in the worker's process."""
        if self.cache is not None:
            self.cache.writer = number
        if self.encoded is not None:
            self.encoded.worker = number + 1
            self.ahead = ReadAhead(
                self.source.read,
                self.encoded,
                self.order,
                workers=settings.processes,
                queues=settings.queues,
                epochs=settings.epochs,
                seconds=settings.storage_seconds,
                done=self.cache.has if self.cache is not None else lambda _: False,
            )

    def forget(self, number: int) -> None:
        """A worker is gone; in the main process."""
        if self.encoded is not None:
            self.encoded.forget(number + 1)

    @property
    def read_bytes(self) -> int:
        """That this process has had from the source."""
        return self.direct_bytes + (0 if self.ahead is None else self.ahead.bytes)

    def item(self, *, epoch: int, sample: int) -> Item:
        """One sample, done; raises DamagedError."""
        draws = self.order.draws(epoch=epoch, sample=sample)
        if self.seconds is not None:
            return self._timed(sample, draws, self.seconds)
        item, first = self._begun(sample, draws)
        for number in range(first, len(self.steps)):
            self.steps[number].apply(item, draws.of(number))
        return item

    def _begun(self, sample: int, draws: Draws) -> tuple[Item, int]:
        """The sample as it is read, or as far as the cache keeps it; and the step that comes next."""
        name = self.source.name(sample)
        found = None if self.cache is None else self.cache.get(sample)
        if found is not None:
            return Item(found[0], found[1], name), self.kept
        record = self._record(sample)
        item = Item(record.data, record.label, name)
        if self.cache is None:
            return item, 0
        for number in range(self.kept):
            self.steps[number].apply(item, draws.of(number))
        # All pixels, whether there is room for them or not: what later steps get must not depend on the room.
        item.value = pixels(item.value)
        self.cache.put(sample, item.value, item.label)
        return item, self.kept

    def _record(self, sample: int) -> Record:
        if self.ahead is not None:
            return self.ahead.read(sample)
        record = self.source.read(sample)
        self.direct_bytes += len(record.data) if isinstance(record.data, bytes) else record.data.nbytes
        return record

    def _timed(self, sample: int, draws: Draws, seconds: dict[str, float]) -> Item:
        before = time.process_time()
        item, first = self._begun(sample, draws)
        names = ["read" if first == 0 else f"read, and steps 1 to {first}"]
        times = [before, time.process_time()]
        for number in range(first, len(self.steps)):
            self.steps[number].apply(item, draws.of(number))
            names.append(f"{number + 1} {self.steps[number].name}")
            times.append(time.process_time())
        for name, start, end in zip(names, times, times[1:], strict=False):
            seconds[name] = seconds.get(name, 0.0) + end - start
        return item

    def good(self, *, epoch: int, sample: int) -> Item:
        """The sample, or the one that stands in for it in this epoch where it is damaged."""
        chosen = sample
        for attempt in range(SUBSTITUTES):
            try:
                return self.item(epoch=epoch, sample=chosen)
            except DamagedError as error:
                self.damaged.setdefault(chosen, Damage(chosen, error.reason, str(error)))
                problem = str(error)
            except MemoryError as error:
                raise StepError(f"{self.source.name(chosen)}: no memory for it: {error}") from error
            chosen = self.order.substitute(epoch=epoch, sample=sample, attempt=attempt)
        raise StepError(f"{SUBSTITUTES + 1} samples in a row are damaged; the last: {problem}")

    def schema(self, layout: str) -> Schema:
        """What the batches consist of, as the first good sample shows."""
        item = self.good(epoch=0, sample=0)
        value = numbers(item.value)
        heard = any(step.takes in (Kind.AUDIO, Kind.SPECTRUM) for step in self.steps)
        images = image_like(value) and not heard
        chosen = [step.order for step in self.steps if isinstance(step, Layout)]
        layout = chosen[-1] if chosen else layout
        shape = value.shape
        if images and layout == "NCHW":
            shape = (shape[2], *shape[:2])
        fields = [Field("data", value.dtype.name, tuple(shape))]
        if item.mask is not None:
            fields.append(Field("mask", "bool", item.mask.shape))
        if item.label is not None:
            label = stored(item.label)
            fields.append(Field("label", label.dtype.name, label.shape))
        return Schema(tuple(fields), layout if images else None, bool(chosen))

    def fill(
        self, arrays: Mapping[str, NDArray[Any]], schema: Schema, *, epoch: int, step: int, rank: int, part: range
    ) -> None:
        """Write a part of a batch into the arrays of its slot."""
        chosen = self.order.indices(epoch=epoch, step=step, rank=rank)
        if self.ahead is not None:
            self.ahead.want(chosen[part.start : part.stop].tolist(), epoch=epoch, step=step, rank=rank)
        blend = self._blend(schema, epoch=epoch, step=step, rank=rank)
        if blend is None:
            for place in part:
                self._put(arrays, schema, place, self.good(epoch=epoch, sample=int(chosen[place])))
            return
        first_channels = schema.layout == "NCHW"
        # Two samples beside the batch: each is needed unmixed for the next one.
        pair = [{name: np.empty_like(array[:1]) for name, array in arrays.items()} for _ in range(2)]
        self._put(pair[1], schema, 0, self.good(epoch=epoch, sample=int(chosen[part.start - 1])))
        for number, place in enumerate(part):
            own, before = pair[number % 2], pair[1 - number % 2]
            self._put(own, schema, 0, self.good(epoch=epoch, sample=int(chosen[place])))
            blend.into(arrays["data"][place], own["data"][0], before["data"][0], channels_first=first_channels)
            arrays["label"][place] = blend.label(own["label"][0], before["label"][0])

    def _blend(self, schema: Schema, *, epoch: int, step: int, rank: int) -> Blend | None:
        """How the batch is mixed; where there are several ways, one of them is drawn."""
        ways = [step for step in self.steps if isinstance(step, MixUp | CutMix)]
        if not ways:
            return None
        data = schema.fields[0]
        draws = self.order.batch_draws(epoch=epoch, step=step, rank=rank)
        way = ways[draws.below(len(ways))]
        if isinstance(way, CutMix) and schema.layout is None:
            raise StepError("cutMix wants images; for other samples there is mixUp")
        if np.dtype(data.dtype).kind != "f":
            raise StepError(
                f"{way.name} wants floating point numbers, not {data.dtype}; put scale or normalize before it"
            )
        sides = data.shape[1:] if schema.layout == "NCHW" else data.shape[:2]
        return way.blend(draws, *(sides if schema.layout is not None else (1, 1)))

    def _put(self, arrays: Mapping[str, NDArray[Any]], schema: Schema, place: int, item: Item) -> None:
        """Write a sample to its place in the arrays."""
        before = time.process_time() if self.seconds is not None else 0.0
        write(item, arrays["data"][place], schema)
        if "mask" in arrays:
            arrays["mask"][place] = item.mask
        if "label" in arrays:
            if item.label is None:
                raise StepError(f"{item.name} has no label, and others have")
            arrays["label"][place] = item.label
        if self.seconds is not None:
            self.seconds["write"] = self.seconds.get("write", 0.0) + time.process_time() - before


def deterministic(steps: Sequence[Step]) -> int:
    """How many steps at the beginning make pixels without drawing random numbers: what a cache can keep."""
    count = 0
    for step in steps:
        if step.random or step.takes not in (Kind.ENCODED, Kind.IMAGE):
            break
        count += 1
    return count
