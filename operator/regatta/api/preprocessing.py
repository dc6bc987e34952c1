"""What a user writes about the feed: where the data is, what becomes of it, and what the sidecar may use.

The steps' own parameters are the feed's business: it refuses them with their path when it starts. What is checked here
is what pods are made of.
"""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import Field

from regatta.api import core
from regatta.api.base import SpecModel, map_by

__all__ = ["DamagedSamples", "DataFormat", "FeedCache", "Preprocessing", "PreprocessingSource", "Shuffle"]


class DataFormat(enum.StrEnum):
    """What the data is stored as."""

    IMAGE_FOLDER = "ImageFolder"
    WEB_DATASET = "WebDataset"
    TF_RECORD = "TFRecord"
    PARQUET = "Parquet"
    TEXT = "Text"
    AUDIO = "Audio"


class DamagedSamples(enum.StrEnum):
    """What happens to a sample that cannot be read."""

    SKIP = "Skip"
    FAIL = "Fail"


class FeedCache(enum.StrEnum):
    """What a feed keeps of an epoch for the next one."""

    NONE = "None"
    ENCODED = "Encoded"
    DECODED = "Decoded"


class PreprocessingSource(SpecModel):
    """Where the samples come from."""

    uri: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="Where the data lies: an absolute path such as /data/train, or a URI such as s3://bucket/train."
    )
    format: DataFormat = Field(description="ImageFolder, WebDataset, TFRecord, Parquet, Text or Audio.")
    volume: core.VolumeSource | None = Field(
        default=None,
        description="A core/v1 volume source that holds the data, mounted read-only at mountPath of the sidecar. "
        "Without it the sidecar has spec.volumeMounts.",
    )
    mount_path: Annotated[str, Field(min_length=2, max_length=1024)] | None = Field(
        default=None, description="Where the sidecar sees the volume; uri when left out."
    )
    data: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="Ending (WebDataset), feature (TFRecord) or column (Parquet) of the data, if not a usual one.",
    )
    label: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="The same for the label."
    )


class Shuffle(SpecModel):
    """The order of the samples."""

    seed: Annotated[int, Field(ge=0, le=2**53 - 1)] = Field(
        default=0, description="The same seed gives the same batches."
    )


class Preprocessing(SpecModel):
    """Sidecars that decode, transform, batch and shard the data and hand finished batches to the program."""

    source: PreprocessingSource = Field(description="Where the samples come from.")
    pipeline: Annotated[list[core.PipelineStep], Field(max_length=64)] = Field(
        default=[], description="Steps in their order; each is an object with one key, the step's name."
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="Samples in a batch of one training process."
    )
    epochs: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None, description="How often the data is gone through; without end when left out."
    )
    shuffle: Shuffle | None = Field(
        default=None, description="A new order in each epoch; the order of the source when left out."
    )
    drop_last: bool = Field(default=True, description="Whether what does not fill a step of all processes is left out.")
    on_error: DamagedSamples = Field(
        default=DamagedSamples.SKIP,
        description="Skip replaces damaged samples, up to one in a hundred; Fail ends the training at the first.",
    )
    cache: FeedCache = Field(
        default=FeedCache.NONE,
        description="Decoded keeps what the steps before the first random one make, Encoded what was read.",
    )
    cache_size: core.Quantity | None = Field(
        default=None, description="The most that the cache takes of the node's disk, such as 20Gi; 8Gi when left out."
    )
    buffer_memory: core.Quantity | None = Field(
        default=None,
        description="Memory for the batches that wait for the program. Computed where the pipeline says how large a "
        "sample becomes, and needed where it does not.",
    )
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="Image of the sidecar, one made from the installation's feed image; that itself when left out.",
    )
    env: Annotated[list[core.EnvVar], Field(max_length=128)] = Field(
        default=[],
        description="Environment of the sidecar, as in core/v1, such as the credentials of the data's store.",
        json_schema_extra=map_by("name"),
    )
    env_from: Annotated[list[core.EnvFromSource], Field(max_length=64)] = Field(
        default=[], description="ConfigMaps and Secrets whose keys become variables of the sidecar, as in core/v1."
    )
    resources: core.Resources = Field(
        default={},
        description="Resource requests and limits of the sidecar, as in core/v1. The memory of the batches is added.",
    )
