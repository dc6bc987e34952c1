"""Where samples come from: one file per format behind one small protocol, one line each in the table below.

A source is opened once, in the process that the feed's workers are forked from, and holds nothing that must not be
shared between them: its index only. Files are opened where they are read.
"""

from __future__ import annotations

from typing import Final

from regatta_feed.errors import SourceError
from regatta_feed.isolate import isolated
from regatta_feed.sources.audio import open_audio
from regatta_feed.sources.base import Notice, Opener, Record, Source
from regatta_feed.sources.folder import open_folder
from regatta_feed.sources.parquet import open_parquet
from regatta_feed.sources.tar import open_tars
from regatta_feed.sources.text import open_text
from regatta_feed.sources.tfrecord import open_tfrecords
from regatta_feed.spec import SourceSpec
from regatta_feed.storage import is_remote

__all__ = ["Notice", "Record", "Source", "open_source"]

OPENERS: Final[dict[str, Opener]] = {
    "ImageFolder": open_folder,
    "WebDataset": open_tars,
    "TFRecord": open_tfrecords,
    "Parquet": open_parquet,
    "Text": open_text,
    "Audio": open_audio,
}


def open_source(spec: SourceSpec) -> Source:
    """Index the data; raises SourceError where there is none or it cannot be read."""
    opened = lambda: OPENERS[spec.format](spec)  # noqa: E731
    try:
        source = isolated(opened) if is_remote(spec.uri) else opened()
    except OSError as error:
        raise SourceError(f"{error.filename or spec.uri}: {error.strerror or error}") from error
    if not len(source):
        raise SourceError(f"{spec.uri}: no samples of format {spec.format} in it")
    return source
