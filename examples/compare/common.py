"""What the scripts of this folder share: the data and their order, the first weights, and the numbers of the training.

Plain numpy, so that no framework has a say in it. The network of all: a convolution, a pooling, a dense layer.
"""

import numpy
from sklearn.datasets import load_digits

EPOCHS, BATCH, RATE = 6, 64, 0.2  # plain SGD; the batch is that of all processes together
STEPS = 27  # of an epoch: whole batches only
CHANNELS, CLASSES = 8, 10


def data():
    """Photographs as (N, 8, 8, 1) float32 and labels as (N,) int64, in the order in which they are trained with."""
    images, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(1).permutation(len(images))[: STEPS * BATCH]
    return (images[order].reshape(-1, 8, 8, 1) / 16 - 0.5).astype("float32"), labels[order].astype("int64")


def first_weights():
    """Kernel (height, width, in, out) and bias of the convolution, weights (in, out) and bias of the dense layer.

    The dense layer reads pixels row by row, the channels of a pixel together.
    """
    random = numpy.random.default_rng(2)
    kernel = random.normal(0, 0.3, (3, 3, 1, CHANNELS))
    dense = random.normal(0, 0.1, (4 * 4 * CHANNELS, CLASSES))
    return [array.astype("float32") for array in (kernel, numpy.zeros(CHANNELS), dense, numpy.zeros(CLASSES))]


def part(step, rank, world):
    """Which samples of a step's batch are this process's: every `world`-th."""
    return slice(step * BATCH + rank, (step + 1) * BATCH, world)


def say(epoch, loss):
    """One line of the curve: the mean loss over the epoch's steps, each before its update."""
    print(f"epoch {epoch} loss {loss:.7f}", flush=True)
