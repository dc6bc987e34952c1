"""Contestant: FFCV on JPEG, from a file of its own format that is written first. Needs FFCV and torch."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import CenterCropRGBImageDecoder, IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
from ffcv.writer import DatasetWriter
from torchvision.datasets import ImageFolder

MEAN, STD = (255 * np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])).astype(np.float32)


def cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main() -> None:
    root, pipeline, epochs, _ = sys.argv[1:5]
    torch.set_num_threads(1)
    stored = Path(root + ".beton")
    if not stored.exists():
        fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=90), "label": IntField()}
        DatasetWriter(str(stored), fields, num_workers=1).from_indexed_dataset(ImageFolder(root))
    decoder = RandomResizedCropRGBImageDecoder((224, 224)) if pipeline == "train" else None
    decoder = decoder or CenterCropRGBImageDecoder((224, 224), ratio=224 / 256)
    flip = [RandomHorizontalFlip()] if pipeline == "train" else []
    steps = [decoder, *flip, NormalizeImage(MEAN, STD, np.float32), ToTensor(), ToTorchImage(convert_back_int16=False)]
    loader = Loader(
        str(stored),
        batch_size=32,
        num_workers=1,
        order=OrderOption.RANDOM,
        drop_last=True,
        pipelines={"image": steps, "label": [IntDecoder(), ToTensor()]},
    )
    for _batch in loader:  # compiles, and reads the file
        pass
    images = 0
    before = cpu()
    for _ in range(int(epochs)):
        for batch, _labels in loader:
            images += len(batch)
    print(json.dumps({"images": images, "cpu": cpu() - before}), flush=True)


if __name__ == "__main__":
    main()
