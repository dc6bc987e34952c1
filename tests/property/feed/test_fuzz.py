"""Whatever is done to a file: its source opens or says why not, its samples are read or damaged, and nothing more.

Each example runs in a process of its own, so that a crash is seen, a hang ends, and memory can be measured.
"""

from __future__ import annotations

import functools
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, FeedError, SourceError
from regatta_feed.isolate import isolated
from regatta_feed.sources import open_source, parquet
from regatta_feed.spec import SourceSpec, read_spec
from regatta_feed.steps import Item
from regatta_feed.steps.values import numbers
from tests.unit.feed.pictures import jpeg, picture
from tests.unit.feed.test_sources import example, tar_of, tfrecord

SECONDS = 60
MEMORY = 600 << 10
"""KiB that an example may take: an image of the largest size that is let through, and what decoding it needs."""
IMAGES: list[Any] = [
    {"decodeImage": {}},
    {"randomResizedCrop": {"size": 24}},
    {"normalize": {"mean": [0.5], "std": [1]}},
]
SOUNDS: list[Any] = [
    {"resample": {"rate": 8000}},
    {"mono": {}},
    {"spectrogram": {"nFft": 64}},
    {"mel": {"nMels": 8}},
    {"log": {}},
    {"fixedLength": {"length": 9}},
]


def of_image(ending: str) -> bytes:
    return bytes(cv2.imencode(ending, picture(1)[..., ::-1])[1].tobytes())


def of_sound(form: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(900)[:, np.newaxis] / [7, 9]), 11_025, format=form)
    return file.getvalue()


def of_tar() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        members = [(f"{n}.{end}", body) for n in range(3) for end, body in (("jpg", jpeg(n)), ("cls", b"%d" % n))]
        return tar_of(Path(folder, "x.tar"), members).read_bytes()


def of_records() -> bytes:
    return tfrecord(*(example(image=jpeg(n), label=[n]) for n in range(3)))


def of_rows() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"image": [jpeg(n) for n in range(6)], "label": list(range(6))}), file, row_group_size=3)
    return file.getvalue()


def in_folder(root: Path, name: str, data: bytes) -> Path:
    (root / "class").mkdir()
    (root / "class" / name).write_bytes(data)
    return root


def alone(root: Path, name: str, data: bytes) -> Path:
    (root / name).write_bytes(data)
    return root / name


CASES: dict[str, tuple[str, str, Callable[[Path, str, bytes], Path], bytes, list[Any]]] = {
    "jpeg": ("ImageFolder", "x.jpg", in_folder, jpeg(1, height=300, width=400), IMAGES),
    "png": ("ImageFolder", "x.png", in_folder, of_image(".png"), IMAGES),
    "bmp": ("ImageFolder", "x.bmp", in_folder, of_image(".bmp"), IMAGES),
    "webp": ("ImageFolder", "x.webp", in_folder, of_image(".webp"), IMAGES),
    "tiff": ("ImageFolder", "x.tiff", in_folder, of_image(".tiff"), IMAGES),
    "ppm": ("ImageFolder", "x.ppm", in_folder, of_image(".ppm"), IMAGES),
    "tar": ("WebDataset", "x.tar", alone, of_tar(), IMAGES),
    "tfrecord": (
        "TFRecord",
        "x.tfrecord",
        alone,
        tfrecord(*(example(image=jpeg(n), label=[n]) for n in range(3))),
        IMAGES,
    ),
    "parquet": ("Parquet", "x.parquet", alone, of_rows(), IMAGES),
    "text": ("Text", "x.txt", alone, "eins\nzwei äöü\n\ndrei".encode(), []),
    "wav": ("Audio", "x.wav", in_folder, of_sound("WAV"), SOUNDS),
    "flac": ("Audio", "x.flac", in_folder, of_sound("FLAC"), SOUNDS),
    "ogg": ("Audio", "x.ogg", in_folder, of_sound("OGG"), SOUNDS),
}

changes = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "ones", "cut", "insert", "drop", "double"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, what: list[tuple[str, float, int]]) -> bytes:
    for kind, where, value in what:
        place = int(where * where * len(data))  # headers lie in front
        match kind:
            case "set":
                data = data[:place] + bytes([value]) + data[place + 1 :]
            case "ones":
                data = data[:place] + b"\xff" * min(8, value) + data[place + min(8, value) :]
            case "cut":
                data = data[: int(where * len(data))]
            case "insert":
                data = data[:place] + bytes([value] * (value % 9)) + data[place:]
            case "drop":
                data = data[:place] + data[place + value :]
            case "double":
                data = data[:place] + data[place : place + value] * 2 + data[place + value :]
    return data


def look(case: str, data: bytes) -> int:
    """KiB that it took to open the file and to take all its samples through the steps."""
    kind, name, write, _, chain = CASES[case]
    signal.alarm(SECONDS)
    parquet._asked = lambda spec, files: files.map(lambda n: parquet._look(files, n))  # type: ignore[assignment]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), name, data)
        fields = {"source": {"uri": "/", "format": kind}, "pipeline": chain, "batchSize": 1}
        steps = read_spec(fields).steps if chain else ()
        try:
            source = open_source(SourceSpec(uri=str(path), format=kind))
        except SourceError:
            return 0
        for number in range(len(source)):
            try:
                record = source.read(number)
                item = Item(record.data, record.label, source.name(number))
                if not isinstance(record.data, bytes):
                    continue  # a Parquet file whose schema was changed
                for place, step in enumerate(steps):
                    step.apply(item, Draws(number).of(place))
                if steps:
                    assert np.isfinite(numbers(item.value)).all()
            except DamagedError:
                continue
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_whole_goes_through(case: str) -> None:
    assert isolated(lambda: look(case, CASES[case][3])) < MEMORY


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40, deadline=None)
@given(what=changes)
def test_no_change_of_a_file_crashes_hangs_or_fills_the_memory(case: str, what: list[tuple[str, float, int]]) -> None:
    assert isolated(lambda: look(case, changed(CASES[case][3], what))) < MEMORY


@functools.cache
def bombs() -> dict[str, tuple[str, bytes]]:
    """Files that are small and claim to be large."""
    png = bytearray(of_image(".png"))
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    lying = bytearray(jpeg(1))
    start = lying.index(b"\xff\xc0")
    lying[start + 5 : start + 9] = b"\x2c\x00\x2c\x00"
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(1 << 27, np.int16), 48_000, format="FLAC")
    wav = bytearray(of_sound("WAV"))
    wav[wav.index(b"data") + 4 : wav.index(b"data") + 8] = b"\xff\xff\xff\x7f"
    return {
        "pixels of a PNG's header": ("png", bytes(png)),
        "pixels of a JPEG's header": ("jpeg", bytes(lying)),
        "an hour of silence": ("flac", silence.getvalue()),
        "samples of a WAV's header": ("wav", bytes(wav)),
        "a PPM's header": ("ppm", b"P6 65000 65000 255\n" + bytes(100)),
        "a line": ("text", b"x" * (1 << 20)),
        "a TFRecord's length": ("tfrecord", b"\xff" * 64),
    }


BOMBS = (
    "pixels of a PNG's header",
    "pixels of a JPEG's header",
    "an hour of silence",
    "samples of a WAV's header",
    "a PPM's header",
    "a line",
    "a TFRecord's length",
)


@pytest.mark.parametrize("name", BOMBS)
def test_what_claims_to_be_large_takes_no_memory(name: str) -> None:
    case, data = bombs()[name]
    assert isolated(lambda: look(case, data)) < MEMORY


def test_opencv_has_the_feeds_limit_of_pixels() -> None:
    """In a process of its own: tests import OpenCV before the feed, the feed does not."""
    program = (
        "import regatta_feed.command, cv2, numpy, resource\n"
        "from regatta_feed.errors import DamagedError\n"
        "from regatta_feed.steps import STEPS, Item\n"
        "from regatta_feed.params import Params\n"
        "data = cv2.imencode('.png', numpy.zeros((12_000, 12_000), numpy.uint8))[1].tobytes()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    STEPS['decodeImage'].read(Params({}, '')).apply(Item(data, 0, 'x'), None)\n"
        "except DamagedError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("OPENCV_IO_MAX_IMAGE_PIXELS", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 << 10


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(FeedError, match="signal 9"):
        isolated(lambda: os.kill(os.getpid(), signal.SIGKILL))
