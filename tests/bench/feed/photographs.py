"""Invented photographs: noise of all wavelengths as nature has it, shapes with edges, the grain of a sensor.

A JPEG's cost depends on what is in it; these compress to what photographs do (500x375: 55 KB, 2000x1500: 600 KB, at
quality 90 with halved colours).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

__all__ = ["photograph", "photographs"]

SHAPES = 14
CLASSES = 4


def photograph(seed: int, *, width: int, height: int) -> NDArray[np.uint8]:
    """One picture; the same for the same seed."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    longer = max(width, height)
    for octave in range(2, 9):
        size = (max(2, 2**octave * height // longer + 1), max(2, 2**octave * width // longer + 1), 3)
        noise = random.normal(0, 0.62 ** (octave - 2), size).astype(np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = 128 + 45 * (total.mean(2, keepdims=True) * 0.8 + total * 0.35)
    for _ in range(SHAPES):
        corners = random.integers(0, [width, height], (int(random.integers(3, 7)), 2)).astype(np.int32)
        mask = np.zeros((height, width), np.float32)
        cv2.fillPoly(mask, [corners], 1.0, lineType=cv2.LINE_AA)
        opaque = (mask * random.uniform(0.2, 0.8))[..., np.newaxis]
        picture = picture * (1 - opaque) + random.integers(0, 255, 3).astype(np.float32) * opaque
    picture += random.normal(0, 5, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def photographs(root: Path, *, count: int, width: int, height: int) -> Path:
    """A folder of class folders with so many of them; made once."""
    done = root / ".done"
    if not done.exists():
        for number in range(count):
            folder = root / f"class{number % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            picture = photograph(number, width=width, height=height)
            encoded = simplejpeg.encode_jpeg(picture, quality=90, colorsubsampling="420")
            (folder / f"{number:05}.jpg").write_bytes(encoded)
        done.touch()
    return root
