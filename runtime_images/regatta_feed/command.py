"""The command line of the feed."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from regatta_feed.cache import DecodedCache
from regatta_feed.encoded import READ_AHEAD, EncodedCache
from regatta_feed.errors import FeedError, OutOfMemoryError, SourceError, SpecError
from regatta_feed.measure import measure, schema_of
from regatta_feed.memory import keep_freed_memory
from regatta_feed.order import Order
from regatta_feed.packing import packed
from regatta_feed.pipeline import Pipeline, deterministic
from regatta_feed.preview import preview
from regatta_feed.processors import processors
from regatta_feed.server import Server, Settings
from regatta_feed.sources import Source, open_source
from regatta_feed.sources.text import Lines
from regatta_feed.spec import FeedSpec, read_spec
from regatta_feed.steps.text import Pack
from regatta_feed.storage import is_remote

__all__ = ["main"]

SHARED_MEMORY = Path("/dev/shm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the feed; 0: done, 1: it could not go on, 2: called wrongly, a wrong pipeline or no data, 3: no memory."""
    options = _parser().parse_args(arguments)
    if options.worker is not None:
        options.first_rank = options.worker * options.queues
    keep_freed_memory()
    try:
        spec = read_spec(_document(options))
        pipeline = _pipeline(spec, options)
        with pipeline:
            _run(pipeline, spec, options)
    except SpecError as error:
        file = f"{options.spec}: " if options.spec else ""
        print(f"regatta-feed: {file}{error}", file=sys.stderr)
        return 2
    except SourceError as error:
        print(f"regatta-feed: {error}", file=sys.stderr)
        return 1 if is_remote(spec.source.uri) else 2  # what is not on this machine may only be out of reach
    except OutOfMemoryError as error:
        print(f"regatta-feed: {error}", file=sys.stderr)
        return 3
    except FeedError as error:
        print(f"regatta-feed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(pipeline: Pipeline, spec: FeedSpec, options: argparse.Namespace) -> None:
    if options.preview:
        print(preview(pipeline, options.preview))
        return
    if options.measure:
        with _folder(None) as folder:
            for line in measure(pipeline, _settings(spec, options, folder), layout=options.layout):
                print(line, flush=True)
        return
    with _folder(options.folder) as folder:
        _serve(pipeline, _settings(spec, options, folder), layout=options.layout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="regatta feed", description="Run a preprocessing pipeline on this machine.")
    add = parser.add_argument
    spec = parser.add_mutually_exclusive_group(required=True)
    spec.add_argument("--spec", metavar="FILE", help="the pipeline, as YAML or JSON; a TrainingJob's manifest will do")
    spec.add_argument("--spec-variable", metavar="NAME", help="or the environment variable that holds it")
    add("--folder", metavar="DIR", help="where the feed meets the training processes (default: a new one)")
    add("--queues", type=_count, default=1, metavar="N", help="training processes of this machine (default 1)")
    add(
        "--world", type=_count, metavar="N", help="training processes of the whole job (default: those of this machine)"
    )
    add("--first-rank", type=int, default=0, metavar="N", help="rank of this machine's first training process")
    add("--worker", type=int, metavar="N", help="or this machine's number, where all have as many training processes")
    add("--processes", type=_count, metavar="N", help="processes that work (default: one for each CPU)")
    add("--slots", type=_count, default=4, metavar="N", help="batches in memory for each training process (default 4)")
    add("--epochs", type=_count, metavar="N", help="instead of what the pipeline says")
    add("--cache-folder", metavar="DIR", help="where samples are kept, see cache (default: that of temporary files)")
    add("--cache-mib", type=_count, default=8192, metavar="N", help="the most that it takes, in MiB (default 8192)")
    add(
        "--storage-seconds",
        type=_count,
        default=60,
        metavar="N",
        help="the longest that a storage on another machine may take for one object, with all tries (default 60)",
    )
    add("--metrics-port", type=_count, metavar="N", help="serve Prometheus' metrics at this port")
    add("--layout", choices=("NCHW", "NHWC"), help="of images, until a training process asks for its own")
    add("--stay", action="store_true", help="go on when all training processes have read their last batch")
    add("--measure", action="store_true", help="read the batches itself and print how fast they come")
    add("--preview", metavar="PNG", help="write a picture of what the pipeline makes, and print what each step costs")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _document(options: argparse.Namespace) -> object:
    if options.spec is not None:
        return _parsed(options.spec)
    try:
        return json.loads(os.environ[options.spec_variable])
    except (KeyError, ValueError) as error:
        raise FeedError(f"the variable {options.spec_variable} holds no JSON: {error}") from error


def _parsed(file: str) -> object:
    try:
        with Path(file).open(encoding="utf-8") as stream:
            documents = [each for each in yaml.safe_load_all(stream) if each is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        words = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise FeedError(f"{file} cannot be read: {words}") from error
    if len(documents) != 1:
        raise FeedError(f"{file} holds {len(documents)} documents; there must be one pipeline in it")
    return documents[0]


def _pipeline(spec: FeedSpec, options: argparse.Namespace) -> Pipeline:
    world = options.world or options.queues
    if options.first_rank < 0 or options.first_rank + options.queues > world:
        raise FeedError(
            f"ranks {options.first_rank} to {options.first_rank + options.queues - 1} do not fit a world of {world}"
        )
    sys.path.insert(0, os.getcwd())
    folder, limit = Path(options.cache_folder or tempfile.gettempdir()), options.cache_mib << 20
    processes = options.processes or processors()
    source: Source
    source = stored = open_source(
        replace(spec.source, seconds=options.storage_seconds, folder=str(folder), limit=limit)
    )
    steps = spec.steps
    pack = next((number for number, step in enumerate(steps) if isinstance(step, Pack)), None)
    if pack is not None:
        source = packed(stored, steps[:pack], steps[pack], processes=processes, folder=folder, limit=limit)
        if isinstance(stored, Lines):
            stored.close()
        steps = steps[pack + 1 :]
    order = Order(
        samples=len(source),
        world=world,
        batch=spec.batch_size,
        seed=spec.seed or 0,
        shuffle=spec.seed is not None,
        drop_last=spec.drop_last,
    )
    if order.steps == 0:
        needed = world * spec.batch_size if spec.drop_last else world
        advice = "; make batchSize smaller, or write dropLast: false" if spec.drop_last else ""
        raise SourceError(f"{spec.source.uri}: {len(source)} samples are too few: a step needs {needed}{advice}")
    pipeline = Pipeline(source, steps, order, texts=spec.steps)
    if spec.cache == "Decoded" and not options.preview:
        pipeline.kept = deterministic(spec.steps)
        pipeline.cache = DecodedCache(
            samples=len(source),
            folder=folder,
            limit=limit,
            writers=processes,
        )
    if pack is None and (spec.cache == "Encoded" or is_remote(spec.source.uri)):
        # Files of this machine may change under their names, of which alone their digest is made.
        keep = spec.cache == "Encoded" and options.cache_folder is not None and is_remote(spec.source.uri)
        pipeline.encoded = EncodedCache(
            samples=len(source),
            folder=folder,
            limit=limit if spec.cache == "Encoded" else min(limit, 2 * READ_AHEAD),
            digest=source.digest,
            keep=keep,
        )
    return pipeline


def _settings(spec: FeedSpec, options: argparse.Namespace, folder: Path) -> Settings:
    return Settings(
        folder=folder,
        queues=options.queues,
        first_rank=options.first_rank,
        processes=options.processes or processors(),
        slots=max(2, options.slots),
        epochs=options.epochs or spec.epochs,
        fail_on_damage=spec.fail_on_damage,
        stay=options.stay,
        metrics_port=options.metrics_port,
        storage_seconds=options.storage_seconds,
    )


def _serve(pipeline: Pipeline, settings: Settings, *, layout: str | None) -> None:
    if layout is None:
        layout = "NHWC" if os.environ.get("REGATTA_FRAMEWORK") == "TensorFlow" else "NCHW"
    server = Server(pipeline, schema_of(pipeline, layout), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    print(
        f"the feed is at {settings.folder}; for the training processes: export REGATTA_FEED={settings.folder}",
        flush=True,
    )
    server.run()


@contextmanager
def _folder(given: str | None) -> Iterator[Path]:
    """The folder of socket and shared memory: the one given, else one of this user's own in memory."""
    if given is not None:
        try:
            Path(given).mkdir(mode=0o700, parents=True, exist_ok=True)  # one that is there already decides itself
        except OSError as error:
            raise FeedError(f"{given}: {error.strerror}") from error
        yield Path(given)
        return
    base = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    made = Path(tempfile.mkdtemp(prefix="regatta-feed-", dir=base))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
