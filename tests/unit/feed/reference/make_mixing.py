"""Makes mixing.npz: what torchvision v2's MixUp and CutMix draw and do. Run it where torchvision is installed.

python tests/unit/feed/reference/make_mixing.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torchvision.transforms import v2

SHAPE = (3, 3, 20, 26)


def main() -> None:
    torch.manual_seed(0)
    images = torch.rand(SHAPE)
    labels = torch.tensor([0, 2, 1])
    kept = {"images": images.numpy(), "labels": labels.numpy()}
    for alpha in (0.2, 1.0):
        mixup = v2.MixUp(alpha=alpha, num_classes=3)
        cutmix = v2.CutMix(alpha=alpha, num_classes=3)
        flat = [torch.zeros(2, 3, 90, 120)]
        kept[f"weights{alpha}"] = np.array([mixup.make_params(flat)["lam"] for _ in range(2000)], np.float32)
        drawn = [cutmix.make_params(flat) for _ in range(2000)]
        kept[f"boxes{alpha}"] = np.array([each["box"] for each in drawn], np.int16)  # left, top, right, bottom
        kept[f"lams{alpha}"] = np.array([each["lam_adjusted"] for each in drawn], np.float32)
    for name in ("MixUp", "CutMix"):
        mixed, soft = getattr(v2, name)(alpha=1.0, num_classes=3)(images, labels)
        kept[f"{name}_images"], kept[f"{name}_labels"] = mixed.numpy(), soft.numpy()
    np.savez_compressed(Path(__file__).with_name("mixing.npz"), **kept)


if __name__ == "__main__":
    main()
