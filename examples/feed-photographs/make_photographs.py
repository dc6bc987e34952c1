"""Make a folder of real photographs for the jobs beside this file: views of ten pictures that scikit-image ships.

    pip install scikit-image opencv-python-headless
    python make_photographs.py FOLDER

FOLDER gets train/PICTURE/*.jpg and test/PICTURE/*.jpg. Each file is a part of its picture, as another camera would
have taken it: another place, distance and light. Which picture it shows is what is to be learned.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

PICTURES = (
    *("astronaut.png", "brick.png", "chelsea.png", "coffee.png", "grass.png"),
    *("gravel.png", "hubble_deep_field.jpg", "motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)
TRAIN, TEST = 32, 8
SIZE = (375, 500)


def main(folder, pictures):
    random = np.random.default_rng(0)
    for name in PICTURES:
        picture = cv2.imread(str(pictures / name))
        if picture is None:
            raise SystemExit(f"{pictures / name} is no picture")
        for number in range(TRAIN + TEST):
            part = "train" if number < TRAIN else "test"
            file = folder / part / name.split(".")[0] / f"{number:03}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), view(picture, random), [cv2.IMWRITE_JPEG_QUALITY, 90])
    print(f"{len(PICTURES) * TRAIN} photographs to train with and {len(PICTURES) * TEST} to test with in {folder}")


def view(picture, random):
    """A random part of half to nine tenths of the sides, with other brightness and contrast."""
    height, width = picture.shape[:2]
    by = random.uniform(0.5, 0.9)
    part_height, part_width = int(height * by), int(width * by)
    top, left = random.integers(height - part_height + 1), random.integers(width - part_width + 1)
    part = cv2.resize(picture[top : top + part_height, left : left + part_width], SIZE[::-1])
    return cv2.convertScaleAbs(part, alpha=random.uniform(0.8, 1.2), beta=random.uniform(-20, 20))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python make_photographs.py FOLDER")
    import skimage.data

    main(Path(sys.argv[1]), Path(skimage.data.__file__).parent)
