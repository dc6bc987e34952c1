"""Audio: one folder for each class, as with images; what libsndfile decodes."""

from __future__ import annotations

from typing import Final

from regatta_feed.sources.folder import Folder, indexed
from regatta_feed.spec import SourceSpec

__all__ = ["ENDINGS", "open_audio"]

ENDINGS: Final = (".wav", ".flac", ".ogg", ".mp3")


def open_audio(spec: SourceSpec) -> Folder:
    """Index a folder of class folders with sounds in them."""
    return indexed(spec, ENDINGS, what="sounds")
