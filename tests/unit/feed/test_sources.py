from __future__ import annotations

import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regatta_feed.errors import DamagedError, SourceError
from regatta_feed.sources import Record, Source, open_source
from regatta_feed.sources.crc32c import crc32c, masked
from regatta_feed.spec import SourceSpec
from tests.unit.feed.pictures import image_folder, jpeg


def opened(path: Path, kind: str, **names: str) -> Source:
    return open_source(SourceSpec(uri=str(path), format=kind, **names))


def all_of(source: Source) -> list[Record]:
    return [source.read(index) for index in range(len(source))]


# ImageFolder


def test_classes_and_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.JPG", "b/deep/1.png", "a/x.jpeg", "C/y.bmp", "a/readme.txt", "top.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    source = opened(tmp_path, "ImageFolder")
    assert list(source.classes) == ["C", "a", "b"]
    assert [(record.data.decode(), record.label) for record in all_of(source)] == [
        ("C/y.bmp", 0),
        ("a/x.jpeg", 1),
        ("b/10.JPG", 2),
        ("b/2.jpg", 2),
        ("b/deep/1.png", 2),
    ]
    assert source.name(0) == "C/y.bmp"


def test_names_that_are_no_text_are_files_too(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    Path(bytes(folder).decode() + "/\udcff.jpg").write_bytes(b"x")
    assert opened(tmp_path, "ImageFolder").read(0).data == b"x"


def test_files_that_cannot_be_read_are_damaged_samples(tmp_path: Path) -> None:
    image_folder(tmp_path, 1)
    os.mkfifo(tmp_path / "class0" / "pipe.jpg")
    (tmp_path / "class0" / "empty.jpg").touch()
    (tmp_path / "class0" / "gone.jpg").symlink_to("nowhere")
    source = opened(tmp_path, "ImageFolder")
    reasons = {}
    for index in range(len(source)):
        try:
            source.read(index)
        except DamagedError as error:
            reasons[source.name(index)] = error.reason
    assert reasons == {"class0/empty.jpg": "empty", "class0/gone.jpg": "unreadable", "class0/pipe.jpg": "unreadable"}


@pytest.mark.parametrize("kind", ["ImageFolder", "WebDataset", "TFRecord", "Parquet", "Text"])
def test_where_there_is_nothing_the_source_says_so(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"no folders|no files|no samples"):
        opened(tmp_path, kind)
    with pytest.raises(SourceError, match="there is no such"):
        opened(tmp_path / "missing", kind)


def test_the_digest_changes_with_the_samples(tmp_path: Path) -> None:
    first = opened(image_folder(tmp_path / "a", 3), "ImageFolder").digest
    assert first == opened(image_folder(tmp_path / "b", 3), "ImageFolder").digest
    assert first != opened(image_folder(tmp_path / "b", 4), "ImageFolder").digest


# WebDataset


def tar_of(path: Path, members: list[tuple[str, bytes]], *, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as file:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_neighbours_with_one_stem_are_a_sample(tmp_path: Path, form: int) -> None:
    long = "n" * (90 if form == tarfile.USTAR_FORMAT else 150)
    members = [("d/a.jpg", b"A"), ("d/a.cls", b"7"), ("d/b.seg.png", b"?"), ("d/b.png", b"B"), ("d/b.cls", b"1\n")]
    tar_of(tmp_path / "1.tar", [*members, (f"{long}.jpg", b"L" * 600), (f"{long}.cls", b"2")], form=form)
    tar_of(tmp_path / "2.tar", [("c.jpg", b"C"), ("c.cls", b"3")])
    source = opened(tmp_path, "WebDataset")
    assert all_of(source) == [(b"A", 7), (b"B", 1), (b"L" * 600, 2), (b"C", 3)]
    assert source.name(3) == f"{tmp_path}/2.tar:c"
    assert not source.notices


def test_other_endings_are_chosen_by_name(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "x.tar", [("a.left.jpg", b"L"), ("a.right.jpg", b"R"), ("a.age", b"31.5")])
    assert all_of(opened(path, "WebDataset", data="right.jpg", label="age")) == [(b"R", 31.5)]


def test_what_lies_before_damage_in_a_tar_is_used_and_the_rest_is_told(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "x.tar", [(f"{n}.jpg", bytes(700)) for n in range(3)])
    whole = path.read_bytes()
    third = whole.index(b"2.jpg")
    for name, data, words in (
        ("bad checksum", whole[: third + 124] + b"7" + whole[third + 125 :], "a damaged header"),
        ("cut in a member", whole[: third + 600], "ends within the member"),
        ("cut in a header", whole[: third + 100], "ends within a header"),
    ):
        path.write_bytes(data)
        source = opened(path, "WebDataset")
        assert (name, len(source)) == (name, 1)  # the second may have had more parts
        assert words in source.notices[0].words


def test_a_label_that_is_no_number_is_damage(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "x.tar", [("a.jpg", b"A"), ("a.cls", b"cat"), ("b.jpg", b"B"), ("b.cls", b"true")])
    source = opened(path, "WebDataset")
    for index in range(2):
        with pytest.raises(DamagedError, match="not a number"):
            source.read(index)


# TFRecord


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def example(**features: bytes | list[int] | list[float]) -> bytes:
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = message(1, message(1, value))
        elif isinstance(value[0], int):
            feature = message(3, message(1, b"".join(varint(int(each)) for each in value)))
        else:
            feature = message(2, message(1, struct.pack(f"<{len(value)}f", *value)))
        entries += message(1, message(1, name.replace("__", "/").encode()) + message(2, feature))
    return message(1, entries)


def tfrecord(*records: bytes) -> bytes:
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += [length, struct.pack("<I", masked(length)), record, struct.pack("<I", masked(record))]
    return b"".join(parts)


def test_crc32c_is_the_one_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    for size in (4095, 4096, 4097, 70_001):
        data = np.random.default_rng(size).bytes(size)
        slow = 0xFFFFFFFF
        for byte in data:
            slow ^= byte
            for _ in range(8):
                slow = (slow >> 1) ^ (0x82F63B78 if slow & 1 else 0)
        assert crc32c(data) == slow ^ 0xFFFFFFFF


def test_examples_of_images_and_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(
        tfrecord(example(image__encoded=b"JPEG", image__class__label=[5]), example(image=b"P", label=[-2]))
    )
    assert all_of(opened(path, "TFRecord")) == [(b"JPEG", 5), (b"P", -2)]
    path.write_bytes(tfrecord(example(x=[1.5, 2.0], y=[0.25])))
    record = opened(path, "TFRecord", data="x", label="y").read(0)
    assert (record.data.tolist(), record.label) == ([1.5, 2.0], 0.25)


def test_damage_in_a_tfrecord(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    good = tfrecord(*(example(image=bytes([n]) * 50, label=[n]) for n in range(3)))
    each = len(good) // 3
    for name, data, count, words in (
        ("flipped data", good[:40] + b"!" + good[41:], 3, "checksum"),
        ("flipped length", good[: each + 1] + b"!" + good[each + 2 :], 1, "damaged length"),
        ("cut", good[:-3], 2, "ends within"),
    ):
        path.write_bytes(data)
        source = opened(path, "TFRecord")
        assert (name, len(source)) == (name, count)
        if source.notices:
            assert words in source.notices[0].words
        else:
            with pytest.raises(DamagedError, match=words):
                source.read(0)
            assert source.read(1).label == 1
    path.write_bytes(tfrecord(example(picture=b"x"), b"\x0a\xff\xff\xff\xff\x0f", b"\x0f"))
    source = opened(path, "TFRecord")
    for index, words in enumerate(("none of the features", "not a tf.train.Example", "not a tf.train.Example")):
        with pytest.raises(DamagedError, match=words):
            source.read(index)


# Parquet


def test_rows_of_images_of_either_shape(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": [b"A", b"B", b"C"], "label": [0, 1, 2]}), tmp_path / "1.parquet", row_group_size=2
    )
    assert all_of(opened(tmp_path, "Parquet")) == [(b"A", 0), (b"B", 1), (b"C", 2)]
    nested = pa.table({"image": [{"bytes": b"D", "path": "d"}], "label": [3]})
    pq.write_table(nested, tmp_path / "2.parquet")
    assert opened(tmp_path, "Parquet").read(3) == (b"D", 3)


def test_rows_of_numbers_and_empty_files(tmp_path: Path) -> None:
    table = pa.table({"x": [[1.0, 2.0], None], "y": [0.5, None]})
    pq.write_table(table, tmp_path / "1.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "0.parquet")
    (tmp_path / "2.parquet").write_bytes(b"PAR1 nothing")
    source = opened(tmp_path, "Parquet", data="x", label="y")
    assert (source.read(0).data.tolist(), source.read(0).label) == ([1.0, 2.0], 0.5)
    assert [Path(notice.where).name for notice in source.notices] == ["2.parquet"]
    with pytest.raises(DamagedError, match="no value"):
        source.read(1)
    with pytest.raises(SourceError, match=r"write source\.data with one of x, y"):
        opened(tmp_path, "Parquet")


# Text


def test_every_line_with_something_in_it_is_a_sample(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\n\n  \ntwo")
    (tmp_path / "b.txt").write_bytes("drei äöü\n".encode())
    assert [record.data.decode() for record in all_of(opened(tmp_path, "Text"))] == ["one", "two", "drei äöü"]


# All of them


@pytest.mark.parametrize(
    ("kind", "name", "make"),
    [
        ("WebDataset", "x.tar", lambda path: tar_of(path, [("a.jpg", jpeg(1)), ("a.cls", b"1"), ("b.jpg", b"B")])),
        ("TFRecord", "x.tfrecord", lambda path: path.write_bytes(tfrecord(example(image=b"abc" * 9, label=[1])))),
        ("Text", "x.txt", lambda path: path.write_bytes(b"one\ntwo\n")),
    ],
)
def test_no_flipped_byte_makes_a_source_crash(
    tmp_path: Path, kind: str, name: str, make: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    make(path)
    good = path.read_bytes()
    random = np.random.default_rng(0)
    for place in random.permutation(len(good))[:120]:
        path.write_bytes(good[:place] + bytes([good[place] ^ int(random.integers(1, 256))]) + good[place + 1 :])
        try:
            source = opened(path, kind)
        except SourceError:
            continue
        for index in range(len(source)):
            try:
                source.read(index)
            except DamagedError:
                continue
