"""Makes torchvision.npz: what torchvision v2 does with one image. Run it where torch and torchvision are installed.

    python tests/unit/feed/reference/make.py

The image is an invented photograph (noise of all wavelengths, shapes with edges), kept in the file as the JPEG that
both sides decode.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageDraw
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F  # noqa: N812

HEIGHT, WIDTH = 110, 150
BOXES = ((0, 0, 110, 150), (13, 40, 90, 67), (60, 100, 20, 27), (5, 9, 101, 130))


def photograph() -> bytes:
    random = np.random.default_rng(0)
    total = np.zeros((HEIGHT, WIDTH, 3))
    for octave in range(1, 8):
        noise = random.normal(0, 55 * 0.6**octave, (2**octave, 2**octave, 3))
        channels = [Image.fromarray(noise[..., c].astype(np.float32)) for c in range(3)]
        total += np.stack([np.asarray(c.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) for c in channels], -1)
    image = Image.fromarray(np.clip(128 + total, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        corners = random.integers(0, (WIDTH, HEIGHT), (4, 2)).tolist()
        draw.polygon([tuple(corner) for corner in corners], fill=tuple(random.integers(0, 255, 3).tolist()))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def main() -> None:
    jpeg = photograph()
    image = F.pil_to_tensor(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    found: dict[str, torch.Tensor] = {"pixels": image[:, ::5, ::5]}
    for number, (top, left, height, width) in enumerate(BOXES):
        found[f"crop{number}"] = F.resized_crop(image, top, left, height, width, [40, 40], antialias=True)
    found["resize_shorter"] = F.resize(image, [64], antialias=True)
    found["resize_both"] = F.resize(image, [40, 40], antialias=True)
    found["resize_larger"] = F.resize(image[:, :60, :80], [97, 131], antialias=True)
    found["resize_plain"] = F.resize(image, [70, 90], antialias=False)
    found["center_crop"] = F.center_crop(image, [64, 80])
    found["center_crop_padded"] = F.center_crop(image[:, :50, :41], [64, 64])
    found["rotated"] = F.rotate(image, 25.0)[:, ::3, ::3]
    found["rotated_bilinear"] = F.rotate(image, -10.0, InterpolationMode.BILINEAR)[:, ::3, ::3]
    for name, amounts in (
        ("brightness", (0.6, 1.4)),
        ("contrast", (0.6, 1.4)),
        ("saturation", (0.3, 1.7)),
        ("hue", (-0.3, 0.1)),
    ):
        for number, amount in enumerate(amounts):
            found[f"{name}{number}"] = getattr(F, f"adjust_{name}")(image, amount)[:, ::3, ::3]
    scaled = F.to_dtype(image, torch.float32, scale=True)
    found["normalized"] = F.normalize(scaled[:, ::4, ::4], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(64)
    boxes = [crop.make_params([image]) for _ in range(2000)]
    kept = {name: each.numpy() for name, each in found.items()}
    kept["boxes"] = np.array([[b["top"], b["left"], b["height"], b["width"]] for b in boxes], np.int16)
    kept["jpeg"] = np.frombuffer(jpeg, np.uint8)
    kept["version"] = np.array(torchvision.__version__)
    np.savez_compressed(Path(__file__).with_name("torchvision.npz"), **kept)


if __name__ == "__main__":
    main()
