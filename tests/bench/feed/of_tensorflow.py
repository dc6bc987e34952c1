"""Contestant: tf.data with decode and crop in one, as TensorFlow's own ImageNet code does. Needs TensorFlow."""

from __future__ import annotations

import json
import resource
import sys

import tensorflow as tf

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def train(data: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(data)
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        shape,
        tf.zeros([0, 0, 4]),
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.stack([begin[0], begin[1], size[0], size[1]])
    image = tf.image.decode_and_crop_jpeg(data, window, channels=3)
    image = tf.image.resize(image, [224, 224], antialias=True)
    return tf.image.random_flip_left_right(image)


def evaluate(data: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_jpeg(data, channels=3)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    by = 256 / tf.minimum(height, width)
    size = tf.cast(tf.cast(tf.stack([height, width]), tf.float64) * by, tf.int32)
    return tf.image.resize_with_crop_or_pad(tf.image.resize(image, size, antialias=True), 224, 224)


def main() -> None:
    root, pipeline, epochs, _ = sys.argv[1:5]
    change = {"train": train, "eval": evaluate}[pipeline]
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    files = tf.data.Dataset.list_files(f"{root}/*/*.jpg").shuffle(10_000)
    data = files.map(lambda file: (change(tf.io.read_file(file)) / 255 - MEAN) / STD, num_parallel_calls=1)
    data = data.batch(32, drop_remainder=True).prefetch(1)
    for _batch in data.take(1):
        pass
    images = 0
    before = cpu()
    for _ in range(int(epochs)):
        for batch in data:
            images += int(batch.shape[0])
    print(json.dumps({"images": images, "cpu": cpu() - before}))


if __name__ == "__main__":
    main()
