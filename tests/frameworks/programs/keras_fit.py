"""Keras's fit on either backend, with data that takes its time, a validation and a saved model."""

import json
import os
import time

import keras
import numpy as np

BATCHES, EPOCHS = 15, int(os.environ.get("EPOCHS", "2"))
RESTORES = os.environ.get("RESTORES", "")
FETCH = float(os.environ.get("FETCH", "0.02"))


class Slow(keras.utils.PyDataset):
    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        time.sleep(FETCH)
        return np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def main():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    callbacks, first = [], 0
    if RESTORES == "backup":
        callbacks = [keras.callbacks.BackupAndRestore("backup", delete_checkpoint=False)]
    elif RESTORES and os.path.exists("model.keras"):
        first = EPOCHS - 1
        if RESTORES == "model":
            model = keras.models.load_model("model.keras")
        else:
            model.set_weights(keras.models.load_model("model.keras").get_weights())
    validation = (np.ones((64, 3), "float32"), np.ones((64, 1), "float32"))
    options = {"validation_data": validation, "shuffle": False, "verbose": 0, "callbacks": callbacks}
    history = model.fit(Slow(), epochs=EPOCHS, initial_epoch=first, **options)
    model.save("model.keras")
    print("RESULT", json.dumps({"loss": history.history["loss"]}), flush=True)


if __name__ == "__main__":
    main()
