"""The feed: reads samples, transforms them and hands finished batches to training processes in shared memory."""

import os
from typing import Final

__all__ = ["PIXEL_LIMIT", "__version__"]

__version__ = "0.1.0"

PIXEL_LIMIT: Final = 1 << 27
"""134 million, half a gigabyte as RGB with what decoding needs: more is a bomb, or for a special program."""

# Here, for nothing of the feed is imported before it: OpenCV reads it once, when it is imported itself.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(PIXEL_LIMIT))
