"""The feed as a tf.data.Dataset.

Batches become tensors by DLPack, which copies nothing; what a Dataset does with its elements afterwards (batching
anew, distribution to devices) is its own. `Dataset.from_generator` would copy nothing either, but it gives arrays back
late: only when the next one is asked for, for which there may be no room any more.
"""

from __future__ import annotations

import threading
from typing import Any, Iterator, List, Optional, Tuple

from regatta_runtime.data.arrays import numpy_arrays
from regatta_runtime.data.batches import Batches


def dataset(*, feed: Optional[str], queue: Optional[int], epoch: Optional[int], step: Optional[int]) -> Any:
    """One epoch each time it is gone through, with a known number of batches where it begins with a whole one."""
    import tensorflow as tf  # type: ignore

    batches = Batches(numpy_arrays, layout="NHWC", feed=feed, queue=queue, epoch=epoch, step=step, patient=True)
    facts = batches.facts
    fields = facts["fields"]
    types = [getattr(tf, field["dtype"]) for field in fields]
    shapes = [[_first_dimension(facts), *field["shape"]] for field in fields]
    epochs = _Epochs(batches)

    def begin() -> Any:
        return epochs.begin()

    def fetch(number: Any) -> List[Any]:
        return [tf.experimental.dlpack.from_dlpack(array.__dlpack__()) for array in epochs.next(int(number))]

    def one_epoch(_: Any) -> Any:
        number, start = tf.py_function(begin, [], [tf.int64, tf.int64])
        return tf.data.Dataset.range(tf.reshape(start, []), len(batches)).map(lambda _: number)

    def element(number: Any) -> Any:
        tensors = tf.py_function(fetch, [number], types)
        for number, tensor in enumerate(tensors):
            tensor.set_shape(shapes[number])
        return tuple(tensors) if len(tensors) > 1 else tensors[0]

    result = tf.data.Dataset.from_tensors(0).flat_map(one_epoch).map(element)
    return result if step else result.apply(tf.data.experimental.assert_cardinality(len(batches)))


class _Epochs:
    """The epoch that a Dataset is at.

    A new iterator begins the next epoch where the one before it came to the end of its own, else that one's again:
    Keras looks at a first batch and throws the iterator away, and nothing is to be lost by that. What an iterator that
    was left still fetches ahead, in a thread of its own, does not come between.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._lock = threading.Lock()
        self._number = 0
        self._first = batches.state_dict()
        self._stream: Optional[Iterator[Tuple[Any, ...]]] = None

    def begin(self) -> Tuple[int, int]:
        """The iterator's number, and the step that it begins with."""
        with self._lock:
            if self._stream is not None and self._batches.epoch == self._first["epoch"]:
                self._stream.close()  # type: ignore
                self._batches.load_state_dict(self._first)
            self._number += 1
            self._first = self._batches.state_dict()
            self._stream = iter(self._batches)
            return self._number, self._batches.step

    def next(self, number: int) -> Tuple[Any, ...]:
        """The next batch of an iterator."""
        with self._lock:
            if number != self._number or self._stream is None:
                raise RuntimeError("a later iterator of this Dataset has begun")
            return next(self._stream)


def _first_dimension(facts: Any) -> Optional[int]:
    """Samples in each batch; None where some are smaller or larger than the others."""
    full, _ = divmod(facts["samples"], facts["batchSize"] * facts["world"])
    even = facts["largest"] == facts["batchSize"] and facts["steps"] == full
    return int(facts["batchSize"]) if even else None
