"""What a user writes under `preprocessing`, read from YAML or JSON and checked in one place.

The same block stands alone in a file, under a key `preprocessing`, or in a TrainingJob's spec. Fields that only
the operator needs (source.volume, resources) are taken and left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from regatta_feed.errors import SpecError
from regatta_feed.params import Params
from regatta_feed.steps import Step, read_steps
from regatta_feed.storage import SECONDS

__all__ = ["FORMATS", "FeedSpec", "SourceSpec", "read_spec"]

FORMATS: Final = ("ImageFolder", "WebDataset", "TFRecord", "Parquet", "Text", "Audio")
ON_ERROR: Final = ("Skip", "Fail")
CACHES: Final = ("None", "Decoded", "Encoded")
STEP_LIMIT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """Where the samples come from."""

    uri: str
    format: str
    data: str | None = None
    """Name of the column, feature or file ending that holds a sample's data; the format's default if none."""
    label: str | None = None
    """The same for its label."""
    seconds: float = SECONDS
    """That a storage on another machine may take for one object."""
    folder: str = ""
    """Where what must be fetched whole is kept."""
    limit: int = 8 << 30
    """Bytes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSpec:
    """A whole pipeline."""

    source: SourceSpec
    steps: tuple[Step, ...]
    batch_size: int
    epochs: int | None
    """None goes on without end."""
    seed: int | None
    """None leaves the samples in the order of the source."""
    drop_last: bool
    cache: str
    """What is kept for the later epochs: None, Decoded or Encoded."""
    fail_on_damage: bool
    """Else damaged samples are replaced, up to one in a hundred."""


def read_spec(raw: Any) -> FeedSpec:
    """The pipeline of a parsed file; raises SpecError with the field's path."""
    block, path = _block(raw)
    fields = Params(block, path)
    source = _source(fields.value("source"), f"{path}.source")
    steps = fields.value("pipeline", [])
    if not isinstance(steps, Sequence) or isinstance(steps, str) or len(steps) > STEP_LIMIT:
        raise SpecError(f"{path}.pipeline", f"must be a list of up to {STEP_LIMIT} steps")
    spec = FeedSpec(
        source=source,
        steps=read_steps(steps, path=f"{path}.pipeline", source=source.format),
        batch_size=fields.integer("batchSize", low=1, high=1_000_000),
        epochs=fields.integer("epochs", None, low=1, high=1_000_000_000),
        seed=_seed(fields, path),
        drop_last=fields.boolean("dropLast", True),
        cache=fields.choice("cache", CACHES, "None"),
        fail_on_damage=fields.choice("onError", ON_ERROR, "Skip") == "Fail",
    )
    if spec.cache == "Decoded" and (not spec.steps or spec.steps[0].name != "decodeImage"):
        raise SpecError(f"{path}.cache", "Decoded keeps images, and the pipeline does not begin with decodeImage")
    fields.value("resources", None)
    fields.close()
    return spec


def _block(raw: Any) -> tuple[Any, str]:
    path: tuple[str, ...] = ()
    for key in ("spec", "preprocessing"):
        if isinstance(raw, Mapping) and key in raw:
            raw, path = raw[key], (*path, key)
    if not isinstance(raw, Mapping) or path == ("spec",):
        raise SpecError("preprocessing", "there is no such block in the file")
    return raw, ".".join(path) or "preprocessing"


def _seed(fields: Params, path: str) -> int | None:
    if not fields.has("shuffle"):
        fields.value("shuffle", None)
        return None
    shuffle = Params(fields.value("shuffle"), f"{path}.shuffle")
    seed = shuffle.integer("seed", 0, low=0, high=2**63 - 1)
    shuffle.close()
    return seed


def _source(raw: Any, path: str) -> SourceSpec:
    fields = Params(raw, path)
    uri = fields.text("uri")
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    source = SourceSpec(
        uri=uri,
        format=fields.choice("format", FORMATS),
        data=fields.text("data", None, limit=256),
        label=fields.text("label", None, limit=256),
    )
    fields.value("volume", None)
    fields.close()
    return source
