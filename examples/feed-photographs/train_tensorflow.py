"""Learn which picture a photograph shows: TensorFlow, with batches that the job's feed has finished."""

import keras
import tensorflow as tf

from regatta_runtime import data

strategy = tf.distribute.MultiWorkerMirroredStrategy()
keras.utils.set_random_seed(0)

# float32 of 16x224x224x3 and int64 of 16, the pipeline of the job's manifest: each worker's own share already.
train = strategy.distribute_datasets_from_function(lambda context: data.tf_dataset())

with strategy.scope():
    model = keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            keras.layers.Conv2D(16, 7, strides=4, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.AveragePooling2D(5),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])

model.fit(train, epochs=24, verbose=2)

# The test pictures are read by TensorFlow itself, so what the feed does is measured by somebody else.
test = keras.utils.image_dataset_from_directory("/data/test", image_size=(224, 224), batch_size=80)
images, labels = next(iter(test))
right = tf.argmax(model(images / 255.0), axis=1, output_type=tf.int32) == labels
accuracy = float(tf.reduce_mean(tf.cast(right, tf.float32)))
print(f"test accuracy: {accuracy:.4f}")
if accuracy < 0.9:
    raise SystemExit(f"test accuracy {accuracy:.4f} is below 0.9")
