"""A loop of TensorFlow's own: a dataset that takes its time, a compiled step, a checkpoint."""

import os
import time

import numpy as np
import tensorflow as tf

STEPS = 30
INSIDE = os.environ.get("LOOP") == "inside"  # of the compiled function
COMPILED = os.environ.get("LOOP") != "eager"


def batches():
    for _ in range(STEPS):
        time.sleep(0.02)
        yield np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def main():
    shapes = (tf.TensorSpec((None, 3)), tf.TensorSpec((None, 1)))
    data = tf.data.Dataset.from_generator(batches, output_signature=shapes)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.build((None, 3))
    optimizer = tf.keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)

    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    if tf.train.latest_checkpoint("checkpoint"):
        checkpoint.restore(tf.train.latest_checkpoint("checkpoint"))

    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(images) - labels) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    compiled = tf.function(step) if COMPILED else step

    @tf.function
    def epoch(few):
        for images, labels in few:
            step(images, labels)

    if INSIDE:
        for part in range(3):
            epoch(data.skip(10 * part).take(10))
    else:
        for images, labels in data:
            compiled(images, labels)
    checkpoint.save("checkpoint/c")


if __name__ == "__main__":
    main()
