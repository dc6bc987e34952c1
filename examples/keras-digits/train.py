"""Train a small convolutional network on scikit-learn's photographs of handwritten digits, with whatever Keras runs on.

Ordinary Keras of one process: compile, fit, callbacks. Regatta makes it train on any number of workers, on PyTorch or
on TensorFlow. Saved after each epoch, it goes on from there after a restart. Ends with an error when it has not learned
enough, so a job that succeeds has really trained.
"""

import argparse
import glob
import os

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

try:  # shows in `regatta watch` how far it is; the script runs just as well without
    from regatta_runtime.progress import report
except ImportError:

    def report(**_):
        pass


FOLDER = os.environ.get("REGATTA_CHECKPOINT_DIR")
RANK = int(os.environ.get("RANK", "0"))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--epochs", type=int, default=12)
    options.add_argument("--batch-size", type=int, default=64, help="of all processes together")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--target", type=float, default=0.95, help="test accuracy to reach")
    options = options.parse_args()

    keras.utils.set_random_seed(options.seed)
    (images, labels), test = digits(options.seed)
    epoch = newest()
    model = keras.models.load_model(checkpoint(epoch)) if epoch else network()
    if RANK == 0:
        print(f"{len(images)} images, Keras on {keras.config.backend()}, starting at epoch {epoch}", flush=True)
    model.fit(
        images,
        labels,
        batch_size=options.batch_size,
        initial_epoch=epoch,
        epochs=options.epochs,
        verbose=2 if RANK == 0 else 0,
        callbacks=[Checkpoint(), Progress(options.epochs)],
    )

    _, accuracy = model.evaluate(*test, verbose=0)
    if RANK == 0:
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


def checkpoint(epoch):
    return os.path.join(FOLDER, f"epoch-{epoch}.keras")


def newest():
    """The epoch to go on from: of the newest checkpoint that is there."""
    files = glob.glob(checkpoint("[0-9]*")) if FOLDER else []
    return max((int(file.rsplit("-", 1)[1].split(".")[0]) for file in files), default=0)


class Checkpoint(keras.callbacks.Callback):
    """Saves after each epoch; any process's file will do, because all have the same model."""

    def on_epoch_end(self, epoch, logs=None):
        if not FOLDER:
            return
        # Whole or not at all: a process that is killed while writing leaves the checkpoint before it.
        part = os.path.join(FOLDER, f".rank-{RANK}.keras")
        self.model.save(part)
        os.replace(part, checkpoint(epoch + 1))


class Progress(keras.callbacks.Callback):
    """Tells how far it is."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params["steps"]
        report(step=self.epoch * steps + batch + 1, total_steps=self.epochs * steps, epoch=self.epoch)


if __name__ == "__main__":
    main()
