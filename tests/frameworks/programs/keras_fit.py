"""Keras's fit on either backend, with data that takes its time, a validation and a saved model."""

import json
import os
import time

import keras
import numpy as np

BATCHES, EPOCHS = 15, 2
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
    validation = (np.ones((64, 3), "float32"), np.ones((64, 1), "float32"))
    history = model.fit(Slow(), epochs=EPOCHS, verbose=0, validation_data=validation, shuffle=False)
    model.save("model.keras")
    print("RESULT", json.dumps({"loss": history.history["loss"]}), flush=True)


if __name__ == "__main__":
    main()
