"""The comparison in Keras, on either of its backends: nothing here knows how many processes train."""

import os

import keras
from common import BATCH, CHANNELS, CLASSES, EPOCHS, RATE, data, first_weights, say


class Curve(keras.callbacks.Callback):
    """Says the loss of each epoch, once."""

    def on_epoch_end(self, epoch, logs=None):
        if int(os.environ.get("RANK", "0")) == 0:
            say(epoch, logs["loss"])


def main():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", data_format="channels_last"),
            keras.layers.MaxPooling2D(data_format="channels_last"),
            keras.layers.Flatten(data_format="channels_last"),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.set_weights(first_weights())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE), loss)
    images, labels = data()
    model.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[Curve()])


if __name__ == "__main__":
    main()
