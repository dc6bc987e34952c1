"""The comparison in TensorFlow: a loop of one's own under the strategy of the pod.

With one worker and DEVICES=2 that worker's CPU counts as two devices, which MirroredStrategy drives.
"""

import os

import tensorflow as tf
from common import BATCH, EPOCHS, RATE, STEPS, data, first_weights, say


def main():
    strategy = make_strategy()
    images, labels = data()
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH, drop_remainder=True)
    batches = strategy.experimental_distribute_dataset(batches)
    with strategy.scope():
        weights = [tf.Variable(array) for array in first_weights()]

    def step(images, labels):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, network(weights, images))
            loss = tf.reduce_sum(losses) / BATCH
        gradients = tape.gradient(loss, weights)
        everywhere = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        for weight, gradient in zip(weights, everywhere, strict=True):
            weight.assign_sub(RATE * gradient)
        return loss

    @tf.function
    def train(images, labels):
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(step, (images, labels)), axis=None)

    for epoch in range(EPOCHS):
        loss = sum(float(train(*batch)) for batch in batches) / STEPS
        if int(os.environ.get("REGATTA_WORKER", "0")) == 0:
            say(epoch, loss)


def make_strategy():
    devices = int(os.environ.get("DEVICES", "1"))
    if devices == 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(devices)])


def network(weights, images):
    kernel, bias, dense, dense_bias = weights
    found = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME") + bias)
    pooled = tf.nn.max_pool2d(found, 2, 2, "VALID")
    return tf.reshape(pooled, (-1, dense.shape[0])) @ dense + dense_bias


if __name__ == "__main__":
    main()
