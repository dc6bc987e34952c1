"""The same network in Keras, on the same feeds: the same samples in the same order."""

import tensorflow as tf

from regatta_runtime import data

tf.keras.utils.set_random_seed(0)
train = data.tf_dataset(feed="/dev/shm/digits-train")
test = data.tf_dataset(feed="/dev/shm/digits-test")

layers = tf.keras.layers
model = tf.keras.Sequential(
    [
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10),
    ]
)
loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(tf.keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
model.fit(train, epochs=8, verbose=2)
print(f"accuracy {model.evaluate(test, verbose=0)[1]:.3f}")
