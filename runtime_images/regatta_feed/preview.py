"""What a pipeline makes, to be looked at: a contact sheet of one batch with the names of the classes, or text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from regatta_feed.errors import FeedError
from regatta_feed.measure import step_table
from regatta_feed.pipeline import Pipeline
from regatta_feed.schema import image_like
from regatta_feed.steps.audio import Spectrogram
from regatta_feed.steps.base import Item, Kind
from regatta_feed.steps.sounds import Spectrum
from regatta_feed.steps.text import Tokenize
from regatta_feed.steps.values import Normalize, numbers

__all__ = ["preview", "sheet"]

PICTURES: Final = 24
SIDE: Final = 192
CAPTION: Final = 18
TEXTS: Final = 8


def preview(pipeline: Pipeline, file: str) -> str:
    """Write the contact sheet, and return what the pipeline costs and makes, as text."""
    schema = pipeline.schema("NHWC")
    order = pipeline.order
    chosen = order.indices(epoch=0, step=0, rank=0)[:PICTURES]
    items = [pipeline.good(epoch=0, sample=int(sample)) for sample in chosen]
    arrays = [numbers(item.value) for item in items]
    lines = list(step_table(pipeline, schema))
    lines += [f"{each.name}: {each.dtype} {list(each.shape)} a sample" for each in schema.fields]
    tokenize = next((step for step in pipeline.texts if isinstance(step, Tokenize)), None)
    if tokenize is not None and arrays[0].dtype.kind == "i":
        return "\n".join([*lines, *(tokenize.text(array) for array in arrays[:TEXTS])])
    norm = next((step for step in pipeline.steps if isinstance(step, Normalize)), None)
    if all(isinstance(item.value, Spectrum) or _spectral(pipeline, item) for item in items):
        pictures = [heard(array) for array in arrays]
    elif all(image_like(array) for array in arrays):
        pictures = [shown(array, norm) for array in arrays]
    else:
        lines.append("what it makes is no picture; the first sample's numbers begin with")
        lines.append(str(arrays[0].reshape(-1)[:16]))
        return "\n".join(lines)
    captions = [_caption(pipeline, item.label) for item in items]
    ok, encoded = cv2.imencode(".png", sheet(pictures, captions)[..., ::-1])
    try:
        if not ok:
            raise OSError("the picture cannot be encoded")
        Path(file).write_bytes(encoded.tobytes())
    except OSError as error:
        raise FeedError(f"{file}: {error.strerror or error}") from error
    lines.append(f"{file}: {len(pictures)} samples of the first batch")
    return "\n".join(lines)


def shown(array: NDArray[Any], norm: Normalize | None) -> NDArray[np.uint8]:
    """Numbers as colours: normalisation undone, 0..1 taken for black to white."""
    if array.dtype.kind == "f":
        if norm is not None:
            array = array * np.asarray(norm.std) + np.asarray(norm.mean)
        array = array * 255
    array = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _spectral(pipeline: Pipeline, item: Item) -> bool:
    made = any(step.takes is Kind.SPECTRUM or isinstance(step, Spectrogram) for step in pipeline.steps)
    return made and numbers(item.value).ndim == 3


def heard(array: NDArray[Any]) -> NDArray[np.uint8]:
    """A spectrogram of the first channel as grey: low frequencies below, what is strongest white."""
    first = np.flipud(array[0]).astype(np.float64)
    low, high = float(first.min()), float(first.max())
    grey = ((first - low) * (255 / (high - low or 1.0))).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def sheet(pictures: list[NDArray[np.uint8]], captions: list[str]) -> NDArray[np.uint8]:
    """Pictures side by side, each in a square with its caption below."""
    columns = math.ceil(math.sqrt(len(pictures) * 1.5))
    rows = math.ceil(len(pictures) / columns)
    canvas = np.full((rows * (SIDE + CAPTION), columns * SIDE, 3), 255, np.uint8)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        by = min((SIDE - 4) / picture.shape[0], (SIDE - 4) / picture.shape[1])
        size = max(1, round(picture.shape[1] * by)), max(1, round(picture.shape[0] * by))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if by < 1 else cv2.INTER_NEAREST)
        top, left = number // columns * (SIDE + CAPTION) + 2, number % columns * SIDE + 2
        canvas[top : top + size[1], left : left + size[0]] = small
        place = (left, top + SIDE + CAPTION - 8)
        cv2.putText(canvas, caption[:26], place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def _caption(pipeline: Pipeline, label: Any) -> str:
    if label is None:
        return ""
    number = int(np.argmax(label)) if isinstance(label, np.ndarray) else label
    classes = pipeline.source.classes
    name = classes[number] if isinstance(number, int) and 0 <= number < len(classes) else number
    return str(name).encode("ascii", "replace").decode()
