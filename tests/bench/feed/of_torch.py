"""Contestant: torch's DataLoader with torchvision v2, as the tutorials write it. Runs where torch is installed."""

from __future__ import annotations

import json
import resource
import sys

import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PIPELINES = {
    "train": [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()],
    "jitter": [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), v2.ColorJitter(0.1, 0.1, 0.1, 0.1)],
    "eval": [v2.Resize(256), v2.CenterCrop(224)],
}


def cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main() -> None:
    root, pipeline, epochs, workers = sys.argv[1:5]
    torch.set_num_threads(1)
    end = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    data = ImageFolder(root, v2.Compose([*PIPELINES[pipeline], *end]))
    loader = torch.utils.data.DataLoader(data, 32, shuffle=True, drop_last=True, num_workers=int(workers))
    images = 0
    before = cpu()
    for _ in range(int(epochs)):
        for batch, _labels in loader:
            images += len(batch)
    print(json.dumps({"images": images, "cpu": cpu() - before}))


if __name__ == "__main__":
    main()
