"""Feed and training process together, through shared memory."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from regatta_feed.order import Order
from regatta_feed.pipeline import Pipeline
from regatta_feed.sources import open_source
from regatta_feed.spec import read_spec
from regatta_runtime.data import Batches, FeedError, numpy_batches, protocol
from regatta_runtime.data.arrays import numpy_arrays
from tests.unit.feed.feeds import PIPELINE, Feed
from tests.unit.feed.pictures import jpeg


def copies(batches: Batches) -> list[tuple[Any, ...]]:
    return [tuple(array.copy() for array in arrays) for arrays in batches]


def same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )


def computed(feed: Feed, *, epoch: int, world: int = 1, rank: int = 0) -> list[tuple[Any, ...]]:
    """The batches as the pipeline's functions make them, without any feed."""
    spec = read_spec({"source": {"uri": str(feed.data), "format": "ImageFolder"}, "pipeline": PIPELINE, "batchSize": 4})
    source = open_source(spec.source)
    pipeline = Pipeline(source, spec.steps, Order(samples=len(source), world=world, batch=4, seed=5))
    schema = pipeline.schema("NCHW")
    result = []
    for step in range(pipeline.order.steps):
        images, labels = np.zeros((4, 3, 16, 16), np.float32), np.zeros(4, np.int64)
        pipeline.fill({"data": images, "label": labels}, schema, epoch=epoch, step=step, rank=rank, part=range(4))
        result.append((images, labels))
    return result


def test_batches_are_those_of_the_pure_functions_epoch_after_epoch(tmp_path: Path) -> None:
    with Feed(tmp_path, epochs=2) as feed:
        batches = feed.batches()
        assert (len(batches), batches.batch_size, batches.epochs) == (10, 4, 2)
        assert same(copies(batches), computed(feed, epoch=0))
        assert same(copies(batches), computed(feed, epoch=1))
        with pytest.raises(FeedError, match="all 2 epochs"):
            iter(batches)
        batches.close()
        assert feed.wait() == 0
        assert os.listdir(feed.folder) == []


@pytest.mark.parametrize("processes", [1, 3])
def test_neither_the_number_of_workers_nor_that_of_queues_changes_a_batch(tmp_path: Path, processes: int) -> None:
    arguments = ("--queues", "2", "--processes", str(processes))
    with Feed(tmp_path, epochs=1, arguments=arguments) as feed:
        queues = [feed.batches(queue=queue) for queue in range(2)]
        streams = [iter(each) for each in queues]
        found: list[list[Any]] = [[], []]
        for _ in range(len(queues[0])):
            for queue, stream in enumerate(streams):
                found[queue].append(tuple(array.copy() for array in next(stream)))
        for rank in range(2):
            assert same(found[rank], computed(feed, epoch=0, world=2, rank=rank))


def test_a_program_goes_on_where_its_checkpoint_stands(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        first = feed.batches()
        copies(first)
        stream = iter(first)
        for _ in range(3):
            next(stream)
        state = first.state_dict()
        assert state == {"epoch": 1, "step": 3}
        first.close()
        second = feed.batches(**state)
        assert same(copies(second), computed(feed, epoch=1)[3:])
        second.load_state_dict({"epoch": 7, "step": 8})
        assert same(copies(second), computed(feed, epoch=7)[8:])


def test_leaving_a_loop_early_ends_its_epoch(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        batches = feed.batches()
        for _ in batches:
            break
        assert same(copies(batches), computed(feed, epoch=1))


def test_a_batch_is_the_feeds_own_memory_and_stays_while_it_is_looked_at(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        batches = feed.batches()
        stream = iter(batches)
        images, labels = next(stream)
        wanted = images.copy()
        corner = images[2, 1, 3:5, 3:5]  # a view of a view
        address = images.__array_interface__["data"][0]
        assert address % 64 == 0
        del images, labels
        for _ in range(5):
            next(stream)
        assert np.array_equal(corner, wanted[2, 1, 3:5, 3:5])
        mapped = Path("/proc/self/maps").read_text()
        ranges = [line.split()[0].split("-") for line in mapped.splitlines() if feed.folder in line]
        assert any(int(low, 16) <= address < int(high, 16) for low, high in ranges)


def test_who_keeps_all_batches_is_told_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        kept = []
        with pytest.raises(FeedError, match="keep copies"):  # noqa: PT012
            for images, _ in feed.batches():
                kept.append(images)
        assert len(kept) == 4


def test_batches_that_only_a_cycle_keeps_are_collected(tmp_path: Path) -> None:
    gc.disable()
    try:
        with Feed(tmp_path) as feed:
            for arrays in feed.batches():
                cycle: list[Any] = [arrays]
                cycle.append(cycle)
                del arrays, cycle
    finally:
        gc.enable()


def test_the_layout_is_that_of_the_consumers_framework_unless_the_user_chose_one(tmp_path: Path) -> None:
    def first(feed: Feed, layout: str) -> np.ndarray[Any, Any]:
        return next(iter(Batches(numpy_arrays, layout=layout, feed=feed.folder, queue=0)))[0].copy()

    with Feed(tmp_path) as feed:
        last = first(feed, "NHWC")
        assert last.shape == (4, 16, 16, 3)
        assert np.array_equal(last.transpose(0, 3, 1, 2), computed(feed, epoch=0)[0][0])
    with Feed(tmp_path, pipeline=[*PIPELINE, {"layout": {"order": "NCHW"}}]) as feed:
        assert first(feed, "NHWC").shape == (4, 3, 16, 16)


def test_a_feed_that_is_killed_is_noticed_at_once_and_its_successor_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Feed(tmp_path) as feed:
        batches = feed.batches()
        stream = iter(batches)
        found = [tuple(array.copy() for array in next(stream)) for _ in range(3)]
        feed.signal(signal.SIGKILL)
        feed.wait()
        feed.start()
        found += [tuple(array.copy() for array in arrays) for arrays in stream]
        assert same(found, computed(feed, epoch=0))


def test_without_a_feed_the_error_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regatta_runtime.data.client.CONNECT_SECONDS", 0.2)
    with pytest.raises(FeedError, match=f"no feed answers at {tmp_path}"):
        numpy_batches(feed=str(tmp_path))
    monkeypatch.delenv("REGATTA_FEED", raising=False)
    with pytest.raises(FeedError, match="regatta feed --spec"):
        numpy_batches()


def test_a_worker_that_is_killed_is_replaced_and_no_batch_changes(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        batches = feed.batches()
        found = []
        for number, arrays in enumerate(batches):
            found.append(tuple(array.copy() for array in arrays))
            if number in (2, 5):
                os.kill(feed.workers()[0], signal.SIGKILL)
                feed.await_words("a worker died (signal 9) and is replaced", count=1 + (number == 5))
        assert same(found, computed(feed, epoch=0))


def test_a_training_process_that_dies_leaves_its_slots_to_the_next(tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom regatta_runtime.data import numpy_batches\n"
        "stream = iter(numpy_batches(queue=0))\nkept = [next(stream) for _ in range(3)]\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    with Feed(tmp_path) as feed:
        environment = {**os.environ, "REGATTA_FEED": feed.folder, "PYTHONPATH": "runtime_images"}
        for _ in range(3):
            ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
            assert ended.returncode == -signal.SIGKILL
        assert same(copies(feed.batches()), computed(feed, epoch=0))
        feed.await_words("is gone; the feed waits for the next one", count=3)


def test_two_processes_cannot_read_one_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Feed(tmp_path) as feed:
        first = feed.batches()
        monkeypatch.setattr("regatta_runtime.data.client.CONNECT_SECONDS", 0.2)
        with pytest.raises(FeedError, match="another process reads queue 0"):
            feed.batches()
        with pytest.raises(FeedError, match="there is no queue 1"):
            feed.batches(queue=1)
        first.close()
        assert len(copies(feed.batches())) == 10


def test_a_forked_child_neither_reads_nor_gives_back_its_parents_batches(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        batches = feed.batches()
        stream = iter(batches)
        held = next(stream)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                del held
                next(stream)
            except FeedError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        first = tuple(array.copy() for array in held)
        del held
        rest = [tuple(array.copy() for array in arrays) for arrays in stream]
        assert same([first, *rest], computed(feed, epoch=0))


class Fence:
    """As a CUDA event is: done when the device says so, or when somebody waits for it."""

    def __init__(self) -> None:
        self.done = self.waited = False

    def query(self) -> bool:
        return self.done

    def synchronize(self) -> None:
        self.waited = not self.done
        self.done = True


def test_a_batch_that_a_device_copies_from_goes_back_when_it_has_done(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        batches = feed.batches()
        fences: list[Fence] = []

        def fence() -> Fence:
            fences.append(Fence())
            return fences[-1]

        batches._client.fence = fence
        found = []
        for number, arrays in enumerate(batches):
            found.append(tuple(array.copy() for array in arrays))
            # Of four slots one is held here and one is the feed's, so at most two batches wait for the device.
            assert sum(not each.done for each in fences) <= 2
            if number == 6:
                for each in fences:
                    each.done = True
        assert same(found, computed(feed, epoch=0))
        assert 0 < sum(each.waited for each in fences) < 7
        batches.close()
        del arrays
        assert all(each.done for each in fences)
        assert same(copies(feed.batches()), computed(feed, epoch=0))


# Damage


def test_a_damaged_sample_is_named_and_replaced_by_the_same_one_in_every_run(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"samples": 120, "epochs": 1}
    with Feed(tmp_path, **fields) as feed:
        good = copies(feed.batches())
        damaged = feed.data / "class0" / "0010.jpg"
        damaged.write_bytes(damaged.read_bytes()[:300])
    runs = []
    for processes in ("1", "3"):
        with Feed(tmp_path, **fields, arguments=("--processes", processes)) as feed:
            runs.append(copies(feed.batches()))
            feed.await_words("class0/0010.jpg")
            assert feed.words().count("class0/0010.jpg") == 1
    assert same(runs[0], runs[1])
    changed = sum(
        not np.array_equal(a, b) for x, y in zip(good, runs[0], strict=True) for a, b in zip(x[0], y[0], strict=True)
    )
    assert changed == 1


def test_more_than_one_damaged_sample_in_a_hundred_ends_the_feed(tmp_path: Path) -> None:
    with Feed(tmp_path, samples=40) as feed:
        for name in ("class0/0010.jpg", "class1/0011.jpg"):
            (feed.data / name).write_bytes(b"nothing")
        with pytest.raises(FeedError, match="2 of 40 samples are damaged"):
            copies(feed.batches())
        assert feed.wait() == 1


def test_with_on_error_fail_the_first_damaged_sample_ends_the_feed(tmp_path: Path) -> None:
    with Feed(tmp_path, samples=40, onError="Fail") as feed:
        (feed.data / "class0/0010.jpg").write_bytes(b"nothing")
        with pytest.raises(FeedError, match=r"onError is Fail: class0/0010\.jpg"):
            copies(feed.batches())
        assert feed.wait() == 1


def test_samples_of_different_shapes_end_the_feed_with_what_to_do(tmp_path: Path) -> None:
    pipeline = [{"decodeImage": {}}, {"resize": {"size": 16}}, {"scale": {}}]
    with Feed(tmp_path, pipeline=pipeline) as feed:
        (feed.data / "class0/0010.jpg").write_bytes(jpeg(1, height=40, width=41))
        with pytest.raises(FeedError, match="a batch needs one shape"):
            copies(feed.batches())


def test_a_step_that_kills_its_worker_ends_the_feed_and_names_the_samples(tmp_path: Path) -> None:
    (tmp_path / "kills.py").write_text(
        "import os, signal\n"
        "def step(value, random):\n"
        "    if value.shape[0] == 8: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    return value[:4, :4]\n"
    )
    pipeline = [{"decodeImage": {}}, {"python": {"module": "kills", "function": "step"}}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.feed.feeds.REPO_PATHS", f":{tmp_path}")
        feed = Feed(tmp_path, pipeline=pipeline)
    with feed:
        (feed.data / "class0/0010.jpg").write_bytes(jpeg(1, height=8, width=8))
        with pytest.raises(FeedError, match=r"workers died \(signal 11\) with the same samples.*0010"):
            copies(feed.batches())
        assert feed.wait() == 1


# The command


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"batchSize": 0}, 2, "preprocessing.batchSize"),
        ({"source": {"uri": "/nowhere", "format": "ImageFolder"}}, 2, "/nowhere: there is no such folder"),
        ({"batchSize": 41}, 2, "40 samples are too few: a step needs 41; make batchSize smaller"),
    ],
)
def test_what_cannot_be_run_is_told(tmp_path: Path, fields: dict[str, Any], code: int, words: str) -> None:
    with Feed(tmp_path, **fields) as feed:
        assert feed.wait() == code
        assert words in feed.words()


def test_sigterm_ends_the_feed_and_leaves_nothing(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        feed.batches()
        workers = feed.workers()
        feed.signal(signal.SIGTERM)
        assert feed.wait() == 0
        assert os.listdir(feed.folder) == []
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_workers_end_with_a_feed_that_is_killed(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        feed.batches()
        workers = feed.workers()
        feed.signal(signal.SIGKILL)
        feed.wait()
        deadline = time.monotonic() + 30
        while any(_lives(pid) for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_measure_and_preview(tmp_path: Path) -> None:
    with Feed(tmp_path, epochs=2, arguments=("--measure",)) as feed:
        assert feed.wait() == 0
        assert "80 samples in" in feed.words()
        assert "2 randomResizedCrop" in feed.words()
    with Feed(tmp_path, arguments=("--preview", str(tmp_path / "sheet.png"))) as feed:
        assert feed.wait() == 0
        assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_prometheus_reads_what_the_feed_does(tmp_path: Path) -> None:
    port = free_port()
    with Feed(tmp_path, samples=120, epochs=1, arguments=("--metrics-port", str(port), "--stay")) as feed:
        damaged = feed.data / "class0" / "0010.jpg"
        damaged.write_bytes(b"nothing")
        copies(feed.batches())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            found = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
        value = lambda name: found[f"regatta_preprocess_{name}"].samples[0].value  # noqa: E731
        assert (value("samples"), value("written_bytes")) == (120, 120 * (16 * 16 * 3 * 4 + 8))
        assert value("read_bytes") > 100_000
        assert (value("workers"), value("queue_capacity_batches"), value("queue_batches")) == (2, 4, 0)
        errors = found["regatta_preprocess_errors"].samples
        assert [(each.labels, each.value) for each in errors] == [({"reason": "decode"}, 1)]
        states = {each.labels["state"]: each.value for each in found["regatta_preprocess_time_seconds"].samples}
        assert set(states) == {"busy", "starved", "blocked"}
        assert states["busy"] > 0
        durations = found["regatta_preprocess_batch_duration_seconds"].samples
        assert [each.value for each in durations if each.name.endswith("_count")] == [30]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)


def test_who_does_not_keep_to_the_protocol_is_cut_off_and_others_go_on(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        feed.await_words("the feed is at")
        batches = feed.batches()
        for words in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"[]\n",
            b'{"version": 1, "queue": "0"}\n',
            b'{"version": 9, "queue": 0}\n',
            b"",
        ):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.settimeout(60)
                stranger.connect(f"{feed.folder}/feed.sock")
                stranger.sendall(words)
                stranger.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while stranger.recv(4096):
                        pass
        assert same(copies(batches), computed(feed, epoch=0))


def test_a_training_process_that_gives_back_what_it_does_not_hold_ends_the_feed(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        batches = feed.batches()
        batches._client._send(protocol.Record(protocol.FREE, slot=77))
        with pytest.raises(FeedError, match="does not keep to the feed's protocol"):  # noqa: PT012
            for _ in range(20):
                copies(batches)
        assert feed.wait() == 1


def test_a_batch_keeps_its_memory_after_its_reader_is_closed(tmp_path: Path) -> None:
    with Feed(tmp_path) as feed:
        first = feed.batches()
        images, _ = next(iter(first))
        wanted = images.copy()
        first.close()
        with pytest.raises(FeedError, match="was closed"):
            next(iter(first))
        assert np.array_equal(images, wanted)
        del images, _
        assert same(copies(feed.batches()), computed(feed, epoch=0))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_headers_of_slots_are_checked() -> None:
    slot = bytearray(64)
    with pytest.raises(ValueError, match="holds no batch"):
        protocol.unpack_header(slot, 0)
    protocol.pack_header(slot, 0, turn=1, epoch=2, step=3, count=4)
    assert protocol.unpack_header(slot, 0) == (1, 2, 3, 4)
