"""Plain model.fit on TensorFlow, the same global batches on any number of replicas; prints what it learned.

REPLICAS makes that many devices of the CPU, for one worker alone: MultiWorkerMirroredStrategy uses one CPU of a worker.
"""

import glob
import json
import os
import time

import keras
import numpy
import tensorflow as tf

EPOCHS = int(os.environ["EPOCHS"])
PAUSE = float(os.environ.get("EPOCH_PAUSE", "0"))
FOLDER = os.environ.get("REGATTA_CHECKPOINT_DIR", "")
REPLICAS = int(os.environ.get("REPLICAS", "0"))

if REPLICAS:
    [cpu, *_] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS)
    strategy = tf.distribute.MirroredStrategy()
else:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
worker = int(os.environ["REGATTA_WORKER"])


def newest():
    """The newest epoch whose weights every worker has."""
    files = glob.glob(f"{FOLDER}/worker{worker}-*.keras") if FOLDER else []
    mine = max((int(file.rsplit("-", 1)[1].split(".")[0]) for file in files), default=0)
    return int(tf.reduce_min(strategy.gather(tf.constant([mine]), axis=0))) if FOLDER else 0


class Epochs(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if FOLDER:
            self.model.save(f"{FOLDER}/.part{worker}.keras")
            os.replace(f"{FOLDER}/.part{worker}.keras", f"{FOLDER}/worker{worker}-{epoch + 1}.keras")
        print(f"step {epoch + 1}", flush=True)
        time.sleep(PAUSE)


keras.utils.set_random_seed(7)
inputs = numpy.random.RandomState(3).rand(128, 8).astype("float32")
targets = numpy.sin(inputs.sum(axis=1, keepdims=True))
start = newest()
with strategy.scope():
    if start:
        model = keras.models.load_model(f"{FOLDER}/worker{worker}-{start}.keras")
    else:
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
print(f"starts after step {start}", flush=True)
data = tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(32)
history = model.fit(data, initial_epoch=start, epochs=EPOCHS, verbose=0, callbacks=[Epochs()])


@tf.function
def of_all_replicas():
    one = strategy.run(lambda: tf.constant(1.0))
    mine = strategy.run(lambda: tf.constant(float(worker + 1)))
    return strategy.reduce("SUM", one, axis=None), strategy.reduce("SUM", mine, axis=None)


replicas, numbers = of_all_replicas()
facts = {
    "worker": worker,
    "replicas": strategy.num_replicas_in_sync,
    "counted": float(replicas),
    "numbers": float(numbers),
    "loss": history.history.get("loss", [None])[-1],
    "evaluated": model.evaluate(data, verbose=0),
    "weights": numpy.concatenate([weight.ravel() for weight in model.get_weights()]).tolist(),
    "xla": os.environ.get("TF_XLA_FLAGS", ""),
}
print("RESULT " + json.dumps(facts), flush=True)
