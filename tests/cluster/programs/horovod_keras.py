"""Keras 2's model.fit through Horovod on TensorFlow, the same global batches on any number of processes."""

import json
import os

import horovod.tensorflow as plain
import horovod.tensorflow.keras as hvd
import numpy
import tensorflow as tf

EPOCHS = int(os.environ["EPOCHS"])

hvd.init()
rank, size = hvd.rank(), hvd.size()
tf.keras.utils.set_random_seed(7 + rank)  # different on purpose: what rank 0 has is broadcast
inputs = numpy.random.RandomState(3).rand(128, 8).astype("float32")
targets = numpy.sin(inputs.sum(axis=1, keepdims=True))
data = tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(32)
data = data.map(lambda x, y: (x[rank::size], y[rank::size]))

model = tf.keras.Sequential([tf.keras.layers.Dense(16, activation="tanh"), tf.keras.layers.Dense(1)])
model.build((None, 8))
# The callback does it after the first step, which then was each process's own.
plain.broadcast_variables(model.variables, root_rank=0)
model.compile(hvd.DistributedOptimizer(tf.keras.optimizers.SGD(0.1, momentum=0.9)), "mse")
first = hvd.callbacks.BroadcastGlobalVariablesCallback(0)
model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[first])
with tf.GradientTape() as tape:
    loss = tf.reduce_mean(tf.square(model(inputs) - targets)) * (rank + 1)
gradients = plain.DistributedGradientTape(tape).gradient(loss, model.trainable_variables)
facts = {
    "rank": rank,
    "size": size,
    "local": [hvd.local_rank(), hvd.local_size()],
    "cross": [hvd.cross_rank(), hvd.cross_size()],
    "sum": float(plain.allreduce(tf.constant(float(rank + 1)), op=plain.Sum)),
    "gradients": numpy.concatenate([g.numpy().ravel() for g in gradients]).tolist(),
    "weights": numpy.concatenate([weight.ravel() for weight in model.get_weights()]).tolist(),
}
print("RESULT " + json.dumps(facts), flush=True)
