"""Plain model.fit of one process, for either backend and any number of processes; prints what it learned.

The same weights to begin with everywhere, from NumPy, and no shuffling: so every way to share the work gives the same.
"""

import glob
import json
import os
import time

import keras
import numpy

EPOCHS = int(os.environ["EPOCHS"])
PAUSE = float(os.environ.get("EPOCH_PAUSE", "0"))
FOLDER = os.environ.get("REGATTA_CHECKPOINT_DIR", "")
RANK = int(os.environ["RANK"])


def newest():
    files = glob.glob(f"{FOLDER}/epoch-*.keras") if FOLDER else []
    return max((int(file.rsplit("-", 1)[1].split(".")[0]) for file in files), default=0)


class Epochs(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if FOLDER:
            self.model.save(f"{FOLDER}/.part{RANK}.keras")
            os.replace(f"{FOLDER}/.part{RANK}.keras", f"{FOLDER}/epoch-{epoch + 1}.keras")
        print("EPOCH " + json.dumps({"epoch": epoch + 1, **logs}), flush=True)
        time.sleep(PAUSE)


def network(random):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.set_weights([random.randn(*weight.shape) / 4 for weight in model.get_weights()])
    return model


def group():
    """How many processes there are, and the sum of what each gives, as the framework itself says."""
    if keras.config.backend() == "torch":
        import torch

        mine = torch.tensor([1.0, RANK + 1.0])
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(mine)
        return mine.tolist()
    import tensorflow as tf

    given = tf.constant([[1.0, RANK + 1.0]])
    return tf.reduce_sum(tf.distribute.get_strategy().gather(given, axis=0), axis=0).numpy().tolist()


random = numpy.random.RandomState(3)
inputs = random.rand(130, 8).astype("float32")[:128]
targets = numpy.sin(inputs.sum(axis=1, keepdims=True))
start = newest()
model = keras.models.load_model(f"{FOLDER}/epoch-{start}.keras") if start else network(random)
print(f"starts after step {start}", flush=True)
model.fit(
    inputs, targets, batch_size=32, shuffle=False, initial_epoch=start, epochs=EPOCHS, verbose=0, callbacks=[Epochs()]
)
counted, numbers = group()
facts = {
    "rank": RANK,
    "backend": keras.config.backend(),
    "counted": counted,
    "numbers": numbers,
    "evaluated": model.evaluate(inputs, targets, verbose=0),
    "weights": numpy.concatenate([weight.ravel() for weight in model.get_weights()]).tolist(),
}
print("RESULT " + json.dumps(facts), flush=True)
