"""The feed as a tf.data.Dataset.

TensorFlow takes a numpy array from a generator without a copy where it is aligned to 64 bytes, which the feed's are;
what a Dataset does with its elements afterwards (prefetch, distribution to replicas) is its own.
"""

from __future__ import annotations

from typing import Any, Iterator, Optional, Tuple

from regatta_runtime.data.arrays import numpy_arrays
from regatta_runtime.data.batches import Batches


def dataset(*, feed: Optional[str], queue: Optional[int], epoch: Optional[int], step: Optional[int]) -> Any:
    """One epoch each time it is gone through, with a known number of batches."""
    import tensorflow as tf  # type: ignore

    batches = Batches(numpy_arrays, layout="NHWC", feed=feed, queue=queue, epoch=epoch, step=step)
    fields = batches._client.fields
    facts = batches.facts
    # The first dimension is only known where no batch is smaller or larger than the others.
    exact = facts["samples"] // (facts["batchSize"] * facts["world"]) == facts["steps"] == _whole_steps(facts)
    first = facts["batchSize"] if exact else None
    signature = tuple(
        tf.TensorSpec([first, *field.shape], getattr(tf, field.dtype), name=field.name) for field in fields
    )

    def one_epoch() -> Iterator[Tuple[Any, ...]]:
        for arrays in batches:
            yield arrays if len(arrays) > 1 else arrays[0]

    result = tf.data.Dataset.from_generator(one_epoch, output_signature=signature if len(fields) > 1 else signature[0])
    return result.apply(tf.data.experimental.assert_cardinality(len(batches)))


def _whole_steps(facts: Any) -> int:
    full = facts["samples"] // (facts["batchSize"] * facts["world"])
    return int(full) if facts["largest"] == facts["batchSize"] else -1
