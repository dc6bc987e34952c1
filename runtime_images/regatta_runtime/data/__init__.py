"""Finished batches from the feed, in shared memory, as the framework's own tensors.

    from regatta_runtime import data

    for images, labels in data.torch_batches():      # one epoch; len() is its number of batches
        ...
    model.fit(data.tf_dataset(), epochs=3)

Nothing is copied for numpy and torch: a batch is memory that the feed has written, and its place is given back when
the last tensor that looks at it is gone. Nothing is imported that is not asked for.
"""

from __future__ import annotations

from typing import Any, Optional

from regatta_runtime.data.batches import Batches
from regatta_runtime.data.client import FeedError

__all__ = ["Batches", "FeedError", "numpy_batches", "tf_dataset", "torch_batches"]


def numpy_batches(
    *, feed: Optional[str] = None, queue: Optional[int] = None, epoch: Optional[int] = None, step: Optional[int] = None
) -> Batches:
    """Batches as tuples of numpy arrays; see `Batches` for what can be done with it.

    `feed` is the feed's folder (default: REGATTA_FEED), `queue` the number of this process in its pod (default:
    LOCAL_RANK); `epoch` and `step` are where to begin, for a program that goes on from a checkpoint.
    """
    from regatta_runtime.data.arrays import numpy_arrays

    return Batches(numpy_arrays, layout=None, feed=feed, queue=queue, epoch=epoch, step=step)


def torch_batches(
    *,
    feed: Optional[str] = None,
    queue: Optional[int] = None,
    epoch: Optional[int] = None,
    step: Optional[int] = None,
    pin: bool = True,
) -> Batches:
    """Batches as tuples of torch tensors on the CPU, in the shape of a DataLoader; arguments as `numpy_batches`.

    Where there is CUDA, their memory is pinned (`pin=False` leaves that out): `to("cuda", non_blocking=True)` copies
    beside what the program does. Such copies belong on the stream that is current when the batch is given up.
    """
    from regatta_runtime.data.arrays import torch_tensors
    from regatta_runtime.data.pinning import Pinning

    prepare = Pinning() if pin else None
    return Batches(torch_tensors, layout="NCHW", feed=feed, queue=queue, epoch=epoch, step=step, prepare=prepare)


def tf_dataset(
    *, feed: Optional[str] = None, queue: Optional[int] = None, epoch: Optional[int] = None, step: Optional[int] = None
) -> Any:
    """A tf.data.Dataset that is one epoch each time it is gone through; arguments as `numpy_batches`."""
    from regatta_runtime.data.tensorflow import dataset

    return dataset(feed=feed, queue=queue, epoch=epoch, step=step)
