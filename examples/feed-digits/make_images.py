"""Writes scikit-learn's 1,797 handwritten digits as PNG files: digits/train and digits/test, one folder a digit.

pip install scikit-learn opencv-python-headless
python make_images.py
"""

from pathlib import Path

import cv2
from sklearn.datasets import load_digits

digits = load_digits()
for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
    folder = Path("digits", "test" if number % 5 == 0 else "train", str(digit))
    folder.mkdir(parents=True, exist_ok=True)
    pixels = (image * 15.9).astype("uint8")
    cv2.imwrite(str(folder / f"{number:04}.png"), cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_LINEAR))
