"""Folders of pictures for feeds: real photographs, and many tiny ones that are told apart by their labels."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from tests.cluster.tool.paths import REPO, Paths

__all__ = ["photographs", "tiny"]

PICTURES: Final = "scikit-image==0.26.0"
"""Of this package only the pictures are used, so nothing of what it needs is installed."""


def photographs(folder: Path) -> None:
    """Fill the folder as the example's own program does."""
    program = REPO / "examples" / "feed-photographs"
    code = "import sys, make_photographs as m; from pathlib import Path; m.main(Path(sys.argv[1]), Path(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, str(folder), str(_pictures())], cwd=program, check=True)


def tiny(folder: Path, *, count: int, side: int = 16) -> None:
    """One picture for each of so many classes: the label says which sample it is."""
    random = np.random.default_rng(0)
    for number in range(count):
        file = folder / f"{number:04}" / "a.jpg"
        file.parent.mkdir(parents=True)
        cv2.imwrite(str(file), random.integers(0, 256, (side, side, 3), np.uint8))


def _pictures() -> Path:
    cache = Paths.default().cache / "pictures" / PICTURES
    found = cache / "skimage" / "data"
    if not found.is_dir():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*download, "--dest", str(cache), PICTURES], check=True)
        (wheel,) = cache.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith((".png", ".jpg"))]
            archive.extractall(cache, names)
        wheel.unlink()
    return found
