"""A real feed in a process of its own, for tests of what it and its clients do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from regatta_runtime.data import Batches, numpy_batches
from tests.unit.feed.pictures import image_folder

__all__ = ["PIPELINE", "Feed"]

REPO = Path(__file__).resolve().parents[3]
REPO_PATHS = ""
PIPELINE: list[dict[str, Any]] = [
    {"decodeImage": {}},
    {"randomResizedCrop": {"size": 16}},
    {"randomHorizontalFlip": {}},
    {"scale": {}},
]


class Feed:
    """`python -m regatta_feed` over a small folder of images."""

    def __init__(
        self,
        place: Path,
        *,
        samples: int = 40,
        arguments: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        **fields: Any,
    ) -> None:
        self.data = place / "data"
        if not self.data.exists():
            image_folder(self.data, samples)
        self.spec = place / "pipeline.json"
        block = {
            "source": {"uri": str(self.data), "format": "ImageFolder"},
            "pipeline": PIPELINE,
            "batchSize": 4,
            "shuffle": {"seed": 5},
            **fields,
        }
        self.spec.write_text(json.dumps(block))
        self._folder = tempfile.TemporaryDirectory(prefix="feed-", dir="/tmp")  # a socket's name has 108 bytes
        self.folder = self._folder.name
        self.log = place / "feed.log"
        self.log.unlink(missing_ok=True)
        self.arguments, self.environment = arguments, env or {}
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "regatta_feed", "--spec", self.spec, "--folder", self.folder]
        environment = {**os.environ, "PYTHONPATH": f"{REPO / 'runtime_images'}{REPO_PATHS}", **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--processes", "2", *self.arguments], stdout=log, stderr=log, env=environment, cwd=REPO
            )

    def batches(self, **arguments: Any) -> Batches:
        return numpy_batches(feed=self.folder, **{"queue": 0, **arguments})

    def workers(self) -> list[int]:
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    def words(self) -> str:
        return self.log.read_text()

    def await_words(self, words: str, *, count: int = 1) -> None:
        """Wait until the log has the words so often."""
        deadline = time.monotonic() + 60
        while self.words().count(words) < count:
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.01)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()
        self._folder.cleanup()
