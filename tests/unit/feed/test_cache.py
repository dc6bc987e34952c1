from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regatta_feed.cache import DecodedCache
from regatta_feed.errors import FeedError
from regatta_feed.order import Order
from regatta_feed.pipeline import Pipeline, deterministic
from regatta_feed.sources import open_source
from regatta_feed.spec import read_spec
from tests.unit.feed.feeds import Feed
from tests.unit.feed.pictures import image_folder, picture

MIB = 1 << 20


def cache(
    place: Path, *, samples: int = 10, limit: int = MIB, writers: int = 2, writer: int | None = 0
) -> DecodedCache:
    made = DecodedCache(samples=samples, folder=place, limit=limit, writers=writers)
    made.writer = writer
    return made


def test_what_is_put_is_found_with_its_label(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    for sample, label in ((0, 3), (1, None), (2, 0.25)):
        kept.put(sample, picture(sample), label)
    kept.writer = 1
    kept.put(9, picture(9)[:, :, :1], -7)
    for sample, label in ((0, 3), (1, None), (2, 0.25)):
        found = kept.get(sample)
        assert found is not None
        assert np.array_equal(found[0], picture(sample))
        assert (found[1], type(found[1])) == (label, type(label))
    nine = kept.get(9)
    assert nine is not None
    assert (nine[0].shape, nine[1]) == ((60, 80, 1), -7)
    assert kept.get(5) is None
    assert kept.used == 3 * 60 * 80 * 3 + 60 * 80


def test_a_full_stretch_keeps_what_it_has_and_takes_no_more(tmp_path: Path) -> None:
    kept = cache(tmp_path, limit=64 << 10)
    for sample in range(4):
        kept.put(sample, picture(sample), 0)
    assert [kept.get(sample) is not None for sample in range(4)] == [True, True, False, False]
    with pytest.raises(FeedError, match="too small"):
        cache(tmp_path, limit=100)


def test_an_entry_that_is_half_written_is_none(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.put(0, picture(0), 1)
    kept._index["label"][0] = 2
    assert kept.get(0) is None


def test_without_a_stretch_of_its_own_a_process_writes_nothing(tmp_path: Path) -> None:
    kept = cache(tmp_path, writer=None)
    kept.put(0, picture(0), 1)
    assert kept.get(0) is None


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ([{"decodeImage": {}}, {"randomResizedCrop": {"size": 8}}, {"scale": {}}], 1),
        ([{"decodeImage": {}}, {"resize": {"size": 9}}, {"centerCrop": {"size": 8}}, {"scale": {}}], 3),
        ([{"decodeImage": {}}, {"resize": {"size": 9}}, {"randomHorizontalFlip": {}}, {"centerCrop": {"size": 8}}], 2),
    ],
)
def test_the_steps_before_the_first_random_one_are_kept(
    tmp_path: Path, steps: list[dict[str, object]], count: int
) -> None:
    source = {"uri": str(tmp_path), "format": "ImageFolder"}
    assert deterministic(read_spec({"source": source, "pipeline": steps, "batchSize": 1}).steps) == count


def test_batches_are_the_same_from_cache_and_from_file_whatever_had_room(tmp_path: Path) -> None:
    source = {"uri": str(image_folder(tmp_path / "data", 8, height=100, width=120)), "format": "ImageFolder"}
    steps = [{"decodeImage": {}}, {"randomResizedCrop": {"size": 16}}, {"scale": {}}]
    spec = read_spec({"source": source, "pipeline": steps, "batchSize": 8})
    opened = open_source(spec.source)
    order = Order(samples=8, world=1, batch=8)
    found = []
    for limit in (64 << 10, MIB):
        made = Pipeline(opened, spec.steps, order, cache=cache(tmp_path, limit=limit, writers=1), kept=1)
        schema = made.schema("NCHW")
        for _ in range(2):
            arrays = {"data": np.zeros((8, 3, 16, 16), np.float32), "label": np.zeros(8, np.int64)}
            made.fill(arrays, schema, epoch=3, step=0, rank=0, part=range(8))
            found.append(arrays["data"])
    assert all(np.array_equal(found[0], each) for each in found[1:])


def test_later_epochs_read_no_file(tmp_path: Path) -> None:
    with Feed(tmp_path, cache="Decoded", epochs=4, arguments=("--slots", "2")) as feed:
        batches = feed.batches()
        epochs = []
        for number in range(4):
            epochs.append([images.copy() for images, _ in batches])
            if number == 1:
                for file in feed.data.rglob("*.jpg"):
                    file.unlink()
        assert [len(each) for each in epochs] == [10, 10, 10, 10]
        assert not np.array_equal(epochs[2][0], epochs[3][0])
