"""Contestant: DALI's CPU backend, which decodes and crops in one. Needs nvidia-dali and no GPU."""

from __future__ import annotations

import json
import resource
import sys

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@pipeline_def(batch_size=32, num_threads=1, device_id=None, seed=1, prefetch_queue_depth=1)
def loading(root: str, kind: str) -> object:
    files, labels = fn.readers.file(file_root=root, random_shuffle=True, name="files")
    if kind == "train":
        images = fn.decoders.image_random_crop(files, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3])
        images = fn.resize(images, resize_x=224, resize_y=224, antialias=True)
        mirror = fn.random.coin_flip()
    else:
        images = fn.resize(fn.decoders.image(files), resize_shorter=256, antialias=True)
        mirror = 0
    images = fn.crop_mirror_normalize(
        images,
        dtype=types.FLOAT,
        output_layout="CHW",
        crop=(224, 224),
        mean=[255 * each for each in MEAN],
        std=[255 * each for each in STD],
        mirror=mirror,
    )
    return images, labels


def main() -> None:
    root, kind, epochs, _ = sys.argv[1:5]
    pipeline: Pipeline = loading(root, kind)
    pipeline.build()
    batches = pipeline.epoch_size("files") // 32
    pipeline.run()
    images = 0
    before = cpu()
    for _ in range(int(epochs) * batches):
        images += len(pipeline.run()[0])
    print(json.dumps({"images": images, "cpu": cpu() - before}))


if __name__ == "__main__":
    main()
