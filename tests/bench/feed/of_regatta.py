"""Contestant: the feed, with one process, its batches going into shared memory and nowhere from there."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from regatta_feed.cache import DecodedCache
from regatta_feed.order import Order
from regatta_feed.pipeline import Pipeline, deterministic
from regatta_feed.server import Server, Settings
from regatta_feed.sources import open_source
from regatta_feed.spec import read_spec

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PIPELINES = {
    "train": [{"randomResizedCrop": {"size": 224}}, {"randomHorizontalFlip": {}}],
    "jitter": [
        {"randomResizedCrop": {"size": 224}},
        {"randomHorizontalFlip": {}},
        {"colorJitter": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1}},
    ],
    "eval": [{"resize": {"size": 256}}, {"centerCrop": {"size": 224}}],
}


def cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main() -> None:
    root, pipeline, epochs, workers, *more = sys.argv[1:]
    steps = [{"decodeImage": {}}, *PIPELINES[pipeline], {"normalize": {"mean": MEAN, "std": STD}}]
    raw = {"source": {"uri": root, "format": "ImageFolder"}, "pipeline": steps, "batchSize": 32, **json.loads(more[0])}
    spec = read_spec(raw)
    source = open_source(spec.source)
    order = Order(samples=len(source), world=1, batch=32, seed=1)
    made = Pipeline(source, spec.steps, order)
    processes = int(workers)
    if spec.cache == "Decoded":
        made.kept = deterministic(spec.steps)
        limit = 4 << 30
        made.cache = DecodedCache(samples=len(source), folder=Path("/tmp"), limit=limit, writers=processes)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        settings = Settings(folder=Path(folder), processes=processes, epochs=int(epochs), sink=True)
        if spec.cache == "Decoded":  # what is measured then are the epochs after the first
            Server(made, made.schema("NCHW"), replace(settings, epochs=1)).run()
        server = Server(made, made.schema("NCHW"), settings)
        before = cpu()
        server.run()
        print(json.dumps({"images": server.counts.samples, "cpu": cpu() - before}))


if __name__ == "__main__":
    main()
