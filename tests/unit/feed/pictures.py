"""Pictures and small data sets for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

__all__ = ["image_folder", "jpeg", "picture"]


def picture(seed: int, *, height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """Smooth colours that differ with the seed."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / (7 + channel) + seed) + np.cos(y / (9 - channel) + 2 * seed) for channel in range(3)]
    return (128 + 50 * np.stack(waves, axis=-1)).astype(np.uint8)


def jpeg(seed: int, *, height: int = 60, width: int = 80) -> bytes:
    return simplejpeg.encode_jpeg(picture(seed, height=height, width=width), quality=92)


def image_folder(root: Path, count: int, *, classes: int = 2, height: int = 60, width: int = 80) -> Path:
    """JPEG files in one folder for each class."""
    for number in range(count):
        folder = root / f"class{number % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}.jpg").write_bytes(jpeg(number, height=height, width=width))
    return root
