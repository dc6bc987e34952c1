"""The cache of samples as the source stores them."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from regatta_feed.encoded import EncodedCache
from regatta_feed.errors import FeedError
from regatta_feed.isolate import isolated, isolated_all
from regatta_feed.sources.base import Record


def cache(
    place: Path, *, samples: int = 100, limit: int = 1 << 20, keep: bool = True, digest: str = "d"
) -> EncodedCache:
    made = EncodedCache(samples=samples, folder=place, limit=limit, digest=digest, keep=keep)
    made.worker = 1
    return made


def size_of(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def test_what_is_put_is_found_with_its_label(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    records = [Record(b"one", 3), Record(b"", None), Record(b"three" * 100, -0.5)]
    for sample, record in enumerate(records):
        assert kept.get(sample) is None
        kept.put(sample, record)
        assert kept.get(sample) == record
    assert kept.used == size_of(tmp_path)


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    kept = cache(tmp_path, limit=100_000)
    for sample in range(9):
        kept.put(sample, Record(bytes(10_000), sample))
    assert kept.get(0) is not None  # used again
    for sample in range(9, 12):
        kept.put(sample, Record(bytes(10_000), sample))
    assert kept.has(0)
    assert not kept.has(1)
    assert kept.has(11)
    assert size_of(tmp_path) == kept.used <= 100_000


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    kept = cache(tmp_path, limit=80_000)
    kept.put(0, Record(bytes(20_000), 0))
    assert not kept.has(0)


def test_many_that_write_at_once_keep_to_the_limit(tmp_path: Path) -> None:
    kept = cache(tmp_path, samples=400, limit=300_000)

    def write(worker: int) -> bool:
        kept.worker = worker
        most = 0

        def some(first: int) -> None:
            nonlocal most
            for sample in range(first, 400, 4):
                kept.put((sample * 7 + worker) % 400, Record(bytes(5_000), 1))
                most = max(most, kept.used)

        threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return most <= 300_000

    assert all(isolated_all([lambda worker=worker: write(worker) for worker in (1, 2, 3)]))
    assert size_of(tmp_path) <= 300_000
    assert sum(kept.get(sample) is not None for sample in range(400)) > 40


def test_a_killed_writer_leaves_no_lock_and_no_half_file(tmp_path: Path) -> None:
    kept = cache(tmp_path)

    def die() -> None:
        with kept._locked():
            (tmp_path / "encoded-d" / "part-1-7").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(FeedError, match="signal 9"):
        isolated(die)
    kept.put(5, Record(b"whole", 5))
    assert cache(tmp_path).get(5) == (b"whole", 5)  # the next feed's
    assert not list(tmp_path.rglob("part-*"))


def test_a_claim_is_forgotten_with_its_worker(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    assert kept.claim(3)
    kept.worker = 2
    assert not kept.claim(3)
    assert kept.claimed(3)
    kept.forget(1)
    assert kept.claim(3)


def test_files_of_other_data_and_damaged_ones_are_not_used(tmp_path: Path) -> None:
    cache(tmp_path).put(5, Record(b"whole", 5))
    assert cache(tmp_path, digest="other").get(5) is None
    (file,) = [path for path in tmp_path.rglob("5") if path.is_file()]
    file.write_bytes(file.read_bytes()[:-1])
    kept = cache(tmp_path)
    assert kept.get(5) is None
    kept.put(5, Record(b"whole", 5))
    assert kept.get(5) == (b"whole", 5)
    assert kept.used == size_of(tmp_path)


def test_without_a_folder_of_its_own_nothing_is_left(tmp_path: Path) -> None:
    kept = cache(tmp_path, keep=False)
    kept.put(5, Record(b"whole", 5))
    kept.close()
    assert list(tmp_path.iterdir()) == []
