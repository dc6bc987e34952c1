"""decodeImage: from the bytes of a file to pixels, at the size at which the next step wants them.

The step itself reads the header only. Whoever needs pixels says how many: a photograph of 2000 pixels that becomes
one of 224 is decoded at an eighth, a quarter or half of its size, which costs a fraction of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from regatta_feed import PIXEL_LIMIT
from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, StepError
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind

__all__ = ["DecodeImage", "Encoded", "Image", "halved", "pixels", "size_of"]

cv2.setNumThreads(1)  # the feed's processes are its parallelism, and OpenCV's threads do not live through a fork

Image = NDArray[np.uint8]


@dataclass(slots=True)
class Encoded:
    """An image that is not decoded yet."""

    data: bytes
    height: int
    width: int
    channels: int
    jpeg: bool
    name: str


@dataclass(frozen=True, slots=True)
class DecodeImage:
    """Decode JPEG, PNG, WebP, BMP, TIFF and PNM; what else the file holds (orientation, alpha) is left alone."""

    name: ClassVar = "decodeImage"
    takes: ClassVar = Kind.ENCODED
    random: ClassVar = False
    channels: int

    @classmethod
    def read(cls, params: Params) -> Self:
        channels = params.integer("channels", 3, low=1, high=3)
        if channels == 2:
            raise params.fail("channels", "must be 1 (grey) or 3 (RGB)")
        return cls(channels)

    def gives(self, kind: Kind) -> Kind:
        return Kind.IMAGE

    def apply(self, item: Item, draws: Draws) -> None:
        data = item.value
        if not isinstance(data, bytes):
            raise StepError(f"{item.name}: decodeImage wants the bytes of a file, not {type(data).__name__}")
        if data[:2] == b"\xff\xd8":
            try:
                height, width, space, _ = simplejpeg.decode_jpeg_header(data)
            except ValueError as error:
                raise DamagedError("decode", f"{item.name}: {error}") from error
            _bound(height, width, item.name)
            item.value = Encoded(data, height, width, self.channels, space not in ("CMYK", "YCCK"), item.name)
        else:
            item.value = _decoded_by_opencv(data, self.channels, item.name)


def size_of(image: Encoded | Image) -> tuple[int, int]:
    """Height and width of the image as it is stored."""
    if isinstance(image, Encoded):
        return image.height, image.width
    return image.shape[0], image.shape[1]


def pixels(image: Any, *, shrink: float = 1.0, bottom: int | None = None) -> Image:
    """The pixels; with shrink, those of the image at no less than 1/shrink of its size, whatever is cheapest.

    With `bottom`, only the rows above it are wanted, in the image's own size: those below may be missing.
    """
    if not isinstance(image, Encoded):
        return _checked(image)
    if not image.jpeg:
        return _decoded_by_opencv(image.data, image.channels, image.name)
    by = halved(image, shrink)
    data, rows = (image.data, image.height) if bottom is None else upper_part(image.data, image.height, bottom)
    height, width = (-(-side // by) for side in (rows, image.width))
    space = "RGB" if image.channels == 3 else "GRAY"
    wanted = {"min_height": height, "min_width": width, "min_factor": 2} if by > 1 else {}
    found = np.empty((height, width, image.channels), np.uint8)
    try:
        simplejpeg.decode_jpeg(data, space, buffer=found, **wanted)
    except ValueError as error:
        # Extra bytes between two markers are common in old data sets and harm no pixel, and what is cut off at the
        # bottom are such; a missing end does. All pixels are decoded by then.
        if "extraneous" not in str(error):
            raise DamagedError("decode", f"{image.name}: {error}") from error
    return found


def halved(image: Encoded | Image, shrink: float) -> int:
    """By how much the sides become smaller when `pixels` is given this shrink: 1, 2, 4 or 8."""
    if not isinstance(image, Encoded) or not image.jpeg:
        return 1
    # Halves only: the decoder has fast code for them, and three eighths take longer than a half.
    return 1 << min(3, int(math.log2(max(1.0, shrink))))


def upper_part(data: bytes, height: int, bottom: int) -> tuple[bytes | bytearray, int]:
    """A JPEG that ends some rows below `bottom`, and its height: the decoder never gets to what lies below.

    Reading the code of all pixels takes most of a large photograph's time, and it can only be read from the top. The
    pixels are the same, for the decoder looks one row of blocks ahead at most. Only where all is in one scan, with an
    end: damage below is not seen then, and whether a sample is damaged must not depend on more than what is drawn.
    """
    found = _frame(data)
    if found is None or data[-2:] != b"\xff\xd9":
        return data, height
    place, block = found
    rows = (-(-bottom // block) + 1) * block
    if rows > height - 4 * block:
        return data, height
    part = bytearray(data)
    part[place : place + 2] = rows.to_bytes(2, "big")
    return part, rows


def _frame(data: bytes) -> tuple[int, int] | None:
    """Where the height stands in the header of a JPEG of one scan, and how many rows a row of blocks has."""
    place, found, components = 2, None, 0
    while place + 19 < len(data) and data[place] == 0xFF:
        kind, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if kind in (0xC0, 0xC1):  # baseline and extended; not progressive, not arithmetic
            components = data[place + 9]
            if components not in (1, 3):
                return None
            # A single component's blocks are always of one row.
            factors = [data[place + 11 + 3 * number] & 15 for number in range(components)] if components > 1 else [1]
            found = place + 5, 8 * max(factors)
        elif kind == 0xDA:
            return found if found is not None and data[place + 4] == components else None
        elif kind not in (0xC4, 0xDB, 0xDD, 0xFE) and not 0xE0 <= kind <= 0xEF:
            return None
        place += 2 + size
    return None


def _checked(image: Any) -> Image:
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (1, 3):
        return image
    what = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise StepError(f"this step wants an image: uint8 of shape (height, width, 1 or 3), not {what}")


def _bound(height: int, width: int, name: str) -> None:
    if height * width > PIXEL_LIMIT:
        raise DamagedError("too_large", f"{name}: {width}x{height} pixels are more than {PIXEL_LIMIT}")


def _decoded_by_opencv(data: bytes, channels: int, name: str) -> Image:
    colour = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), colour | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise DamagedError("decode", f"{name}: {str(error).splitlines()[0][:200]}") from error
    if image is None:
        raise DamagedError("decode", f"{name}: not an image of a known format, or damaged")
    return image if channels == 3 else image[..., np.newaxis]
