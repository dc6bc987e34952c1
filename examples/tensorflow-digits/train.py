"""Train a small convolutional network on scikit-learn's photographs of handwritten digits, on any number of workers.

Ordinary Keras on TensorFlow: the model is made inside a strategy's scope and trained by model.fit, saved after each
epoch, and goes on from there after a restart. Ends with an error when it has not learned enough, so a job that succeeds
has really trained.
"""

import argparse
import glob
import os

import keras
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

try:  # shows in `regatta watch` how far it is; the script runs just as well without
    from regatta_runtime.progress import report
except ImportError:

    def report(**_):
        pass


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--epochs", type=int, default=12)
    options.add_argument("--batch-size", type=int, default=32, help="of one replica")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--target", type=float, default=0.95, help="test accuracy to reach")
    options = options.parse_args()

    # All GPUs of all workers; of one worker alone where there is no other. Comes first, as TensorFlow wants it.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(options.seed)
    batch = options.batch_size * strategy.num_replicas_in_sync
    train, test = digits(options.seed)
    steps = len(train[0]) // batch
    images = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train[0]), seed=options.seed)

    epoch, file = resume(strategy)
    with strategy.scope():
        model = keras.models.load_model(file) if file else network()
    if chief(strategy):
        replicas = strategy.num_replicas_in_sync
        print(f"{len(train[0])} images on {replicas} replicas, starting at epoch {epoch}", flush=True)
    model.fit(
        images.batch(batch, drop_remainder=True),
        initial_epoch=epoch,
        epochs=options.epochs,
        verbose=2 if chief(strategy) else 0,
        callbacks=[Checkpoint(strategy), Progress(steps, options.epochs)],
    )

    _, accuracy = model.evaluate(tf.data.Dataset.from_tensor_slices(test).batch(batch), verbose=0)
    if chief(strategy):
        print(f"test accuracy: {accuracy:.4f}", flush=True)
    if accuracy < options.target:
        raise SystemExit(f"test accuracy {accuracy:.4f} is below {options.target}")


def digits(seed):
    """1,797 photographs of 8 x 8 pixels, a fifth of them kept for the test."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16 - 0.5
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, random_state=seed, stratify=labels
    )
    return (train, train_labels), (test, test_labels)


def network():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3), loss, metrics=["accuracy"])
    return model


def worker(strategy):
    return strategy.cluster_resolver.task_id or 0


def chief(strategy):
    return worker(strategy) == 0


def checkpoint_file(strategy, epoch):
    """Each worker keeps files of its own, so it does not matter whether the volume is shared."""
    folder = os.environ.get("REGATTA_CHECKPOINT_DIR")
    return os.path.join(folder, f"worker-{worker(strategy)}-epoch-{epoch}.keras") if folder else None


class Checkpoint(keras.callbacks.Callback):
    """Saves after each epoch. The one before is kept: another worker may be killed before it has saved this one."""

    def __init__(self, strategy):
        super().__init__()
        self.strategy = strategy

    def on_epoch_end(self, epoch, logs=None):
        path = checkpoint_file(self.strategy, epoch + 1)
        if path is None:
            return
        # Whole or not at all: a process that is killed while writing leaves the checkpoint before it.
        part = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}")
        self.model.save(part)
        os.replace(part, path)
        old = checkpoint_file(self.strategy, epoch - 1)
        if os.path.exists(old):
            os.remove(old)


def resume(strategy):
    """The epoch to begin with and the file to load: of the newest epoch that every worker has."""
    files = glob.glob(checkpoint_file(strategy, "[0-9]*") or "")
    mine = max((int(file.rsplit("-", 1)[1].split(".")[0]) for file in files), default=0)
    everyone = strategy.gather(tf.constant([mine]), axis=0)
    epoch = int(tf.reduce_min(everyone))
    return epoch, checkpoint_file(strategy, epoch) if epoch else None


class Progress(keras.callbacks.Callback):
    """Tells how far it is."""

    def __init__(self, steps, epochs):
        super().__init__()
        self.steps, self.total = steps, steps * epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        report(step=self.epoch * self.steps + batch + 1, total_steps=self.total, epoch=self.epoch)


if __name__ == "__main__":
    main()
